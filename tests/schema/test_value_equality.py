"""Whether two values are the same: type for type at every depth."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.value_equality import OF_CHANGES, Rules, difference
from tests.sameness import described

BERLIN = ZoneInfo("Europe/Berlin")
NAN = float("nan")


class Inner(BaseModel, extra="allow"):
    value: Any = None


@dataclass
class Plain:
    value: Any = None


class Model(BaseModel):
    first: Any = None
    second: Any = None


class Kind(StrEnum):
    A = "a"


DIFFERENT: list[tuple[Any, Any]] = [
    (0, 1),
    (1, True),
    (0, False),
    (1, 1.0),
    ("1", 1),
    (None, False),
    ("a", Kind.A),
    (b"a", bytearray(b"a")),
    ([1], [True]),
    ([1], [1, 1]),
    ((1,), [1]),
    ({"a": 1}, {"a": 1.0}),
    ({"a": [{"b": 0}]}, {"a": [{"b": False}]}),
    ({"a": 1}, {"b": 1}),
    ({1: "a"}, {True: "a"}),
    ({1}, {True}),
    ({1, 2}, {1, 2.0}),
    ({(1, 2)}, {(True, 2)}),
    ({frozenset({1})}, {frozenset({1.0})}),
    (frozenset({1}), {1}),
    (0.0, -0.0),
    ([0.0], [-0.0]),
    (Decimal("1.0"), Decimal("1.1")),
    (deque([1]), deque([1], 5)),
    (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    (OrderedDict(a=1), {"a": 1}),
    (datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),
    (datetime(2026, 1, 1), datetime(2026, 1, 1, fold=1)),
    (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)),
    (time(1), time(1, tzinfo=UTC)),
    (time(1, tzinfo=BERLIN), time(1)),
    (int, bool),
    (Inner(value=1), Inner(value=True)),
    (Inner.model_validate({"more": 1}), Inner.model_validate({"more": True})),
    (Plain(1), Plain(True)),
    (Plain([Inner(value=1)]), Plain([Inner(value=1.0)])),
]

SAME: list[tuple[Any, Any]] = [
    (1.0, 1e0),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": 1.5, "b": {"c": {1}}}, {"b": {"c": {1}}, "a": 1.5}),
    ({1, 2}, {2, 1}),
    ({1, "a", None}, {None, "a", 1}),
    (datetime(2026, 7, 1, 12, tzinfo=BERLIN), datetime(2026, 7, 1, 10, tzinfo=UTC)),
    (
        datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
        datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=1))),
    ),
    (
        {datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1): 1},
        {datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=1))): 1},
    ),
    (Inner(value=[1]), Inner.model_construct(value=[1])),
    (Plain((1, "a")), Plain((1, "a"))),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_values_that_differ_are_named_either_way(one: object, other: object) -> None:
    codec = ModelCodec(Model)
    ours, theirs = Model(first=one, second=0), Model(first=other, second=0)
    assert codec.differing(ours, theirs) == codec.differing(theirs, ours) == ("first",)
    assert difference([one], [other], Rules()) is not None


@pytest.mark.parametrize(("one", "other"), SAME)
def test_values_that_are_the_same_in_another_writing_do_not_differ(one: object, other: object) -> None:
    assert difference(Model(first=one), Model(first=other), Rules()) is None
    assert difference((other,), (one,), Rules()) is None


def test_nan_never_comes_back_and_is_no_change() -> None:
    for number in (NAN, Decimal("nan")):
        assert difference(Plain(number), Plain(type(number)("nan")), Rules()) is not None
        assert difference(Plain(number), Plain(type(number)("nan")), OF_CHANGES) is None


def test_another_zone_is_a_change_where_the_field_keeps_zones() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=BERLIN)
    read = TypeAdapter(datetime).validate_json('"2026-07-01T10:00:00Z"')
    assert difference(moment, read, OF_CHANGES) is None
    elsewhere = moment.astimezone(ZoneInfo("Europe/Paris"))
    assert difference(moment, elsewhere, OF_CHANGES) is not None
    assert difference(moment, elsewhere, Rules()) is None


def test_a_time_as_it_is_read_is_the_same_at_the_same_moment_alone() -> None:
    read = TypeAdapter(datetime).validate_json('"2026-10-25T00:30:00Z"')
    first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    for rules in (Rules(), OF_CHANGES):
        for zone in (UTC, timezone(timedelta(hours=2)), read.tzinfo):
            assert difference([read.astimezone(zone), 0.5], [read, 0.5], rules) is None
        assert difference([first, ""], [read, ""], rules) is None
        assert difference([first.replace(fold=1), ""], [read, ""], rules) is not None
        assert difference([read + timedelta(seconds=1), ""], [read, ""], rules) is not None
        assert difference([read.replace(tzinfo=None), ""], [read, ""], rules) is not None


def test_what_holds_itself_is_compared_in_the_end() -> None:
    ours, theirs, others = ([1], [1], [2])
    circles: list[list[Any]] = [ours, theirs, others]
    for circle in circles:
        circle.append({"again": circle})
    assert difference(ours, theirs, Rules()) is None
    assert difference(ours, others, Rules()) is not None


def test_depth_is_no_limit() -> None:
    ours: list[Any] = []
    theirs: list[Any] = []
    for _ in range(20_000):
        ours, theirs = [ours], [theirs]
    assert difference(ours, theirs, Rules()) is None
    while ours:  # as deep as this, they cannot be taken down at once
        ours, theirs = ours.pop(), theirs.pop()


# No two decimals are equal with other digits: those come back the same, and are described otherwise.
VALUES: Any = st.recursive(
    st.sampled_from([0, 1, True, False, 0.0, -0.0, 1.0, "", "a", Kind.A, None, b"a", Decimal("1.0"), Decimal("2")])
    | st.datetimes(timezones=st.sampled_from([None, UTC, BERLIN]), allow_imaginary=True),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from([1, True, "a", Kind.A, "b"]), inner, max_size=3)
        | st.builds(Inner, value=inner)
        | st.builds(Plain, inner)
    ),
    max_leaves=6,
)


@given(VALUES, VALUES)
@example(datetime(1, 1, 1, tzinfo=BERLIN), datetime(1, 1, 1, tzinfo=UTC))
@example(datetime(9999, 12, 31, 23, 59, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=BERLIN))
def test_values_are_the_same_as_they_are_described(one: Any, other: Any) -> None:
    assert (difference(one, other, Rules()) is None) == (described(one) == described(other))
    assert difference(one, one, Rules()) is None


def test_a_whole_number_that_is_the_default_of_a_nested_float_is_taken() -> None:
    class Price(BaseModel):
        net: float = 1
        tax: Decimal = Decimal(0)

    read = Price.model_validate_json(Price().model_dump_json())
    assert difference(Price(), read, Rules()) is None
    assigned = Price(net=2)
    assigned.net = 2
    assert difference(assigned, Price(net=2.0), Rules()) is not None


def test_other_digits_of_a_decimal_are_a_change_and_come_back_the_same() -> None:
    assert difference(Decimal("1.50"), Decimal("1.5"), Rules()) is None
    assert difference(Decimal("1.50"), Decimal("1.5"), OF_CHANGES) is not None
