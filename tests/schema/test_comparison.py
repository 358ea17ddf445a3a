"""Which fields of two models say something else: by value and by type, at every depth."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from ndb_models.schema.comparison import differing


class Inner(BaseModel, extra="allow"):
    value: Any = None


@dataclass
class Plain:
    value: Any = None


class Model(BaseModel):
    first: Any = None
    second: Any = None


DIFFERENT: list[tuple[Any, Any]] = [
    (0, 1),
    (1, True),
    (0, False),
    (1, 1.0),
    ("1", 1),
    (None, False),
    ([1], [True]),
    ([1], [1, 1]),
    ((1,), [1]),
    ({"a": 1}, {"a": 1.0}),
    ({"a": [{"b": 0}]}, {"a": [{"b": False}]}),
    ({"a": 1}, {"b": 1}),
    (Inner(value=1), Inner(value=True)),
    (Inner.model_validate({"more": 1}), Inner.model_validate({"more": True})),
    (Plain(1), Plain(True)),
    (Plain([Inner(value=1)]), Plain([Inner(value=1.0)])),
]

EQUAL: list[tuple[Any, Any]] = [
    (1.0, 1e0),
    (0.0, -0.0),
    (Decimal("1.0"), Decimal("1.00")),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1, 2}, {2, 1}),
    (Inner(value=[1]), Inner.model_construct(value=[1])),
    (Plain((1, "a")), Plain((1, "a"))),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=repr)
def test_values_that_differ_are_named_either_way(one: object, other: object) -> None:
    ours, theirs = Model(first=one, second=0), Model(first=other, second=0)
    assert differing(ours, theirs, ("first", "second")) == ("first",)
    assert differing(theirs, ours, ("second", "first")) == ("first",)


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=repr)
def test_values_that_are_the_same_in_another_writing_do_not_differ(one: object, other: object) -> None:
    assert differing(Model(first=one), Model(first=other), ("first", "second")) == ()


def test_fields_come_in_the_order_in_which_they_are_asked_for_and_others_do_not_count() -> None:
    ours, theirs = Model(first=1, second=2), Model(first=2, second=1)
    assert differing(ours, theirs, ("second", "first")) == ("second", "first")
    assert differing(ours, theirs, ("second",)) == ("second",)
