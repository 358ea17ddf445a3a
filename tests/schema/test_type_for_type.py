"""What is stored comes back the same, type for type at every depth, or is refused by the field's name."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ndb_models import UnstorableError
from ndb_models.schema.codec import ModelCodec
from tests.sameness import described
from tests.zoo_values_further import KEPT, REFUSED, Filling, Loose, declared, holding


def text_of(codec: ModelCodec[Any], model: Any) -> bytes:
    return codec.dump(model).text


@pytest.mark.parametrize("case", KEPT)
def test_what_can_be_kept_comes_back_the_same(case: str) -> None:
    annotation, value = KEPT[case]
    model: Any = holding(annotation, value)
    codec = ModelCodec(type(model))
    read: Any = codec.load(text_of(codec, model), 1)
    if "array" in case or case == "an object that shows nothing":
        assert text_of(codec, read) == text_of(codec, model)
    elif case == "a model that holds itself":
        assert read.value.children[0].parent is read.value
        assert [child.name for child in read.value.children] == ["b", "c"]
    else:
        assert described(read) == described(model)


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_lost_is_refused_by_name_with_the_way_out(case: str) -> None:
    annotation, value, reason = REFUSED[case]
    model: Any = holding(annotation, value)
    with pytest.raises(UnstorableError, match=f"value: .*{re.escape(reason)}") as caught:
        ModelCodec(type(model)).dump(model)
    assert {name for name, _ in caught.value.problems} == {"value"}


@pytest.mark.parametrize("case", KEPT)
def test_what_was_kept_is_no_change(case: str) -> None:
    annotation, value = KEPT[case]
    model: Any = holding(annotation, value)
    codec = ModelCodec(type(model))
    keys = codec.dump(model)
    read: Any = codec.load(keys.text, 1)
    changes = codec.changes(read, codec.dump(read), keys.text)
    assert (dict(changes.changed), [*changes.removed], changes.after) == ({}, [], keys.text)
    assert codec.differing(model, read) == ()


@pytest.mark.parametrize("value", [Loose(), {"a": [Loose()]}, Filling(name="a")])
def test_private_attributes_are_left_out_where_the_class_says_so(value: Any) -> None:
    annotation: Any = dict[str, list[Loose]] if isinstance(value, dict) else type(value)
    inner: Any = value["a"][0] if isinstance(value, dict) else value
    for name in inner.__pydantic_private__ or {}:
        inner.__pydantic_private__[name] = ["canary"]
    with pytest.raises(UnstorableError, match="is not stored") as caught:
        ModelCodec(declared(annotation)).dump(holding(annotation, value))
    assert "canary" not in str(caught.value)
    model = holding(annotation, value, private="drop")
    codec = ModelCodec(type(model))
    assert described(codec.load(codec.dump(model).text, 1), private=False) == described(model, private=False)
