"""What is written is read back equal; what would not come back equal is refused by name. No engine takes part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ndb_models import SessionModel, UnstorableError
from ndb_models.schema.codec import ModelCodec
from tests.schema.unstorable import UNSTORABLE
from tests.zoo import ZOO
from tests.zoo_ways import INSTANCES, names

of_the_zoo = pytest.mark.parametrize("model", INSTANCES, ids=names(INSTANCES))


def codec_of(model: SessionModel) -> ModelCodec[Any]:
    return ModelCodec(type(model))


@of_the_zoo
def test_what_is_written_is_read_back_equal(model: SessionModel) -> None:
    codec = codec_of(model)
    read: Any = codec.load(codec.dump(model.model_copy(deep=True)).text, 1)
    assert read == model
    assert type(read) is type(model)
    assert {name: type(value) for name, value in read} == {name: type(value) for name, value in model}


@of_the_zoo
def test_what_was_read_is_no_change(model: SessionModel) -> None:
    codec = codec_of(model)
    text = codec.dump(model).text
    read: Any = codec.load(text, 1)
    changes = codec.changes(read, codec.dump(read), text)
    assert (dict(changes.changed), [*changes.removed], changes.after) == ({}, [], text)
    assert codec.differing(model, read) == ()


@pytest.mark.parametrize("model_class", [model for model, _ in ZOO], ids=[model.__name__ for model, _ in ZOO])
def test_every_model_of_the_zoo_has_instances_of_its_own(model_class: type[SessionModel]) -> None:
    instances = dict(ZOO)[model_class]
    assert instances
    assert all(type(instance) is model_class for instance in instances)


@pytest.mark.parametrize(("model", "fields"), UNSTORABLE, ids=names([model for model, _ in UNSTORABLE]))
def test_what_would_not_come_back_equal_is_refused_by_name(model: SessionModel, fields: Sequence[str]) -> None:
    with pytest.raises(UnstorableError) as caught:
        codec_of(model).dump(model)
    assert [field for field, _ in caught.value.problems] == fields
    assert caught.value.model == type(model).__name__
    assert all(field in str(caught.value) for field in fields)
    assert "canary" not in str(caught.value).lower()
