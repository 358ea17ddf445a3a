"""What becomes of a field that two requests have changed, by its type."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel
from typing_extensions import TypedDict

from ndb_models import ConflictError, Merge, SessionModel, UnstorableError
from ndb_models.schema.merging import Merger
from ndb_models.schema.value_kinds import ABSENT


class Address(BaseModel):
    model_config = ConfigDict(frozen=True)

    city: str = ""
    zip: str = ""
    visits: Annotated[int, Merge.add] = 0


@dataclass(frozen=True, slots=True)
class Point:
    x: int = 0
    y: int = 0
    seen: Annotated[int, Merge.max] = 0


@dataclass
class Journey:
    stops: list[str] = field(default_factory=list)
    at: Point = field(default_factory=Point)


class Pair(NamedTuple):
    left: int
    right: set[int]


class Totals(TypedDict, total=False):
    hits: Annotated[int, Merge.add]
    name: str


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str = ""


class Scores(RootModel[dict[str, Annotated[int, Merge.add]]]):
    pass


class Everything(SessionModel):
    any: Any = None
    address: Address = Address()
    point: Point = Field(default_factory=Point)
    journey: Journey = Field(default_factory=Journey)
    pair: Pair = Pair(0, set())
    totals: Totals = {}
    open: Open = Open()
    scores: Scores = Scores({})
    votes: dict[str, dict[str, Annotated[int, Merge.add]]] = {}
    ordered: OrderedDict[str, int] = Field(default_factory=OrderedDict)
    count: Annotated[int | None, Merge.add] = 0
    ratio: Annotated[float, Merge.add] = 0.0
    price: Annotated[Decimal, Merge.add] = Decimal(0)
    waited: Annotated[timedelta, Merge.add] = timedelta(0)
    share: Annotated[Fraction, Merge.add] = Fraction(0)
    last: Annotated[datetime | None, Merge.max] = None
    first: Annotated[datetime | None, Merge.min] = None
    seat: Annotated[str | None, Merge.conflict] = None
    whole: Annotated[list[int], Merge.later] = []
    seats: dict[str, Annotated[str, Merge.conflict]] = {}


MERGER = Merger(Everything)


def merged(base: object, mine: object, theirs: object, name: str = "any") -> Any:
    return MERGER.merge(_with(name, base), _with(name, mine), _with(name, theirs), [name])[name]


def _with(name: str, value: Any) -> Everything:
    return Everything.model_construct(**{name: value})


def opened(**values: Any) -> Open:
    return Open.model_validate(values)


CASES: list[tuple[str, object, object, object, object]] = [
    (
        "keys of a dict, added and removed",
        {"a": 1, "b": 2},
        {"b": 2, "c": 3},
        {"a": 1, "d": 4, "b": 2},
        {"d": 4, "b": 2, "c": 3},
    ),
    ("different keys of a dict", {"a": 1, "b": 2}, {"a": 5, "b": 2}, {"a": 1, "b": 6}, {"a": 5, "b": 6}),
    ("dicts in dicts", {"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}, {"a": {"x": 9}}, {"a": {"x": 9, "y": 2}}),
    ("a key that both added", {}, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"y": 2, "x": 1}}),
    ("the same key, to two values", {"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}),
    ("a key that I removed and they changed", {"a": 1}, {}, {"a": 2, "b": 3}, {"b": 3}),
    ("a key that they removed and I changed", {"a": 1}, {"a": 2}, {"b": 3}, {"b": 3, "a": 2}),
    ("a key that they removed and I left", {"a": 1}, {"a": 1, "b": 2}, {}, {"b": 2}),
    ("a dict instead of None", None, {"a": 1}, {"b": 2}, {"b": 2, "a": 1}),
    ("elements of a set", {1, 2}, {2, 3}, {1, 2, 4}, {2, 3, 4}),
    ("elements of a frozenset", frozenset({1}), frozenset({1, 2}), frozenset({3}), frozenset({2, 3})),
    ("an element of another type", {1}, {True}, {1, 2}, {True, 2}),
    ("lists to which both appended", [1], [1, 2], [1, 3], [1, 3, 2]),
    ("a list to which I appended", [1, 2], [1, 2, 3], [2], [2, 3]),
    ("a list to which they appended", [1, 2], [2], [1, 2, 3], [2, 3]),
    ("lists that both changed otherwise", [1, 2], [2, 1], [2], [2, 1]),
    ("a list with an item of another type", [1], [True, 2], [1, 3], [True, 2, 3]),
    ("tuples to which both appended", (1,), (1, 2), (1, 3), (1, 3, 2)),
    ("new tuples, which may have a fixed length", None, (1, 2), (3, 4), (1, 2)),
    ("deques to which both appended", deque([1]), deque([1, 2]), deque([1, 3]), deque([1, 3, 2])),
    ("counts", Counter(a=1), Counter(a=3, b=1), Counter(a=2, b=1), Counter(a=4, b=2)),
    (
        "lists in a defaultdict",
        defaultdict(list),
        defaultdict(list, a=[1]),
        defaultdict(list, a=[2]),
        defaultdict(list, a=[2, 1]),
    ),
    ("scalars", 1, 2, 3, 2),
    ("two types", [1], {"a": 1}, [1, 2], {"a": 1}),
    ("a type that they replaced", {"a": 1}, {"a": 2}, [1], {"a": 2}),
    ("True instead of 1", {"a": 1, "b": 1}, {"a": True, "b": 1}, {"a": 1, "b": 2}, {"a": True, "b": 2}),
    ("True instead of 1, by them", {"a": 1}, {"a": 1, "b": 1}, {"a": True}, {"a": True, "b": 1}),
    (
        "models",
        Address(),
        Address(city="Rome", visits=1),
        Address(zip="1", visits=2),
        Address(city="Rome", zip="1", visits=3),
    ),
    ("frozen dataclasses", Point(), Point(x=1, seen=5), Point(y=2, seen=3), Point(x=1, y=2, seen=5)),
    ("named tuples", Pair(0, {1}), Pair(1, {1, 2}), Pair(0, {1, 3}), Pair(1, {1, 2, 3})),
    (
        "dataclasses in dataclasses",
        Journey(),
        Journey(["a"], Point(x=1)),
        Journey(["b"], Point(y=1)),
        Journey(["b", "a"], Point(1, 1)),
    ),
    ("models of two classes", Address(), Address(city="Rome"), opened(name="a"), Address(city="Rome")),
    ("new models", None, Address(city="Rome"), Address(zip="1"), Address(city="Rome")),
    ("extras of a model", Open(), opened(name="a", x=1), opened(y=2), opened(name="a", y=2, x=1)),
    ("root models", Scores({"a": 1}), Scores({"a": 2}), Scores({"a": 5, "b": 1}), Scores({"a": 6, "b": 1})),
]


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "result"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_both_changes_survive_where_they_can_and_the_later_one_where_not(
    base: object, mine: object, theirs: object, result: object
) -> None:
    found = merged(base, mine, theirs)

    assert repr(found) == repr(result) if not isinstance(result, (set, frozenset)) else found == result
    assert type(found) is type(result)


MARKED: list[tuple[str, object, object, object, object]] = [
    ("count", 1, 3, 6, 8),
    ("count", 5, 3, 4, 2),
    ("count", None, 3, 4, 7),
    ("count", 3, 4, None, 1),
    ("count", 3, None, 4, None),
    ("ratio", 1.0, 1.5, 2.0, 2.5),
    ("ratio", 0.0, 1e308 * 10, -1e308 * 10, 1e308 * 10),
    ("price", Decimal("1.50"), Decimal("1.75"), Decimal("2.5"), Decimal("2.75")),
    ("price", Decimal(0), Decimal("0." + "1" * 60), Decimal("1e60"), Decimal("1" + "0" * 60 + "." + "1" * 60)),
    ("waited", timedelta(1), timedelta(3), timedelta(2), timedelta(4)),
    ("share", Fraction(0), Fraction(1, 3), Fraction(1, 6), Fraction(1, 2)),
    ("last", None, datetime(2026, 1, 1), datetime(2026, 2, 1), datetime(2026, 2, 1)),
    ("last", None, datetime(2026, 3, 1), datetime(2026, 2, 1), datetime(2026, 3, 1)),
    ("last", datetime(2026, 1, 1), None, datetime(2026, 2, 1), datetime(2026, 2, 1)),
    ("last", datetime(2026, 1, 1), datetime(2026, 2, 1), None, datetime(2026, 2, 1)),
    ("last", None, datetime(2026, 1, 1), datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 1, 1)),
    ("first", None, datetime(2026, 1, 1), datetime(2026, 2, 1), datetime(2026, 1, 1)),
    ("first", None, datetime(2026, 3, 1), datetime(2026, 2, 1), datetime(2026, 2, 1)),
    ("seat", "a", "b", "a", "b"),
    ("seat", "a", "a", "b", "b"),
    ("whole", [1], [1, 2], [1, 3], [1, 2]),
    ("totals", {"hits": 1, "name": "a"}, {"hits": 2, "name": "a"}, {"hits": 5, "name": "b"}, {"hits": 6, "name": "b"}),
    ("totals", {}, {"hits": 2}, {"hits": 5}, {"hits": 7}),
    ("totals", {"hits": 1, "name": "a"}, {"hits": 2}, {"hits": 4, "name": "b"}, {"hits": 5}),
    ("votes", {}, {"x": {"a": 1}}, {"x": {"a": 2, "b": 1}}, {"x": {"a": 3, "b": 1}}),
    ("votes", {"x": {"a": 3}}, {"x": {"a": 4}}, {"x": {}}, {"x": {"a": 1}}),
    ("seats", {}, {"a": "me"}, {"b": "you"}, {"b": "you", "a": "me"}),
]


@pytest.mark.parametrize(("name", "base", "mine", "theirs", "result"), MARKED)
def test_a_mark_says_how_a_field_is_merged(
    name: str, base: object, mine: object, theirs: object, result: object
) -> None:
    found = merged(base, mine, theirs, name)

    assert repr(found) == repr(result)


@pytest.mark.parametrize(
    ("name", "base", "mine", "theirs"),
    [
        ("price", Decimal(0), Decimal("1e-99999"), Decimal("1e99999")),
        ("waited", timedelta(0), timedelta.max, timedelta(1)),
        ("ratio", 0.0, 1.5e308, 1.5e308),
    ],
)
def test_a_sum_that_is_too_large_is_refused_and_not_lost(name: str, base: Any, mine: Any, theirs: Any) -> None:
    with pytest.raises(UnstorableError, match=f"{name}: the sum") as caught:
        merged(base, mine, theirs, name)

    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("name", "base", "mine", "theirs"),
    [
        ("seat", None, "a", "b"),
        ("seat", None, "a", "a"),
        ("seats", {}, {"a": "me"}, {"a": "you"}),
        ("seats", {"a": "me"}, {}, {"a": "you"}),
        ("seats", {"a": "me"}, {"a": "you"}, {}),
    ],
)
def test_a_conflict_is_refused_with_the_name_of_the_field_and_without_values(
    name: str, base: object, mine: object, theirs: object
) -> None:
    with pytest.raises(ConflictError) as caught:
        merged(base, mine, theirs, name)

    assert (caught.value.model, caught.value.field) == ("Everything", name)
    assert "me" not in str(caught.value).replace("merge", "").replace("meanwhile", "").split()
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "result"),
    [
        ("abc", "cab", "abcd", "cabd"),
        ("abc", "abcx", "cab", "cabx"),
        ("ab", "xab", "ab", "xab"),
        ("abc", "cb", "abcd", "cbd"),
    ],
)
def test_an_ordered_dict_is_in_my_order_if_i_changed_it(base: str, mine: str, theirs: str, result: str) -> None:
    def ordered(keys: str) -> OrderedDict[str, int]:
        return OrderedDict((key, ord(key)) for key in keys)

    assert "".join(merged(ordered(base), ordered(mine), ordered(theirs), "ordered")) == result


def test_only_the_named_fields_are_merged_and_a_removed_extra_is_left_out() -> None:
    class Bag(SessionModel, extra="allow"):
        name: str = ""

    given: list[dict[str, Any]] = [
        {"name": "a", "x": 1, "y": [1]},
        {"name": "b", "y": [1, 2]},
        {"name": "c", "x": 1, "y": [1, 3], "z": 1},
    ]
    base, mine, theirs = map(Bag.model_validate, given)

    assert Merger(Bag).merge(base, mine, theirs, ["x", "y"]) == {"y": [1, 3, 2]}


def test_what_a_property_has_cached_is_left_out_of_a_merged_model() -> None:
    address = Address(city="Rome")
    address.__dict__["label"] = "made of other values"

    assert vars(merged(Address(), Address(zip="1"), address)) == {"city": "Rome", "zip": "1", "visits": 0}


def test_the_result_shares_no_value_with_my_model() -> None:
    item = {"inner": [1]}
    mine = {"new": item, "list": [0, item], "set": {1}, "model": opened(x=item)}
    theirs: dict[str, object] = {"list": [0], "set": set(), "model": opened(y=1)}

    found = merged({"list": [0], "set": set(), "model": Open()}, mine, theirs)
    item["inner"].append(2)

    assert found["new"] == found["list"][1] == found["model"].x == {"inner": [1]}
    assert theirs == {"list": [0], "set": set(), "model": opened(y=1)}


def test_a_value_that_cannot_be_copied_is_taken_as_it_is() -> None:
    lock = _Uncopyable()

    assert merged({}, {"a": lock}, {"b": 1})["a"] is lock


class _Uncopyable:
    def __deepcopy__(self, memo: object) -> _Uncopyable:
        raise TypeError


def test_what_is_nested_deeper_than_python_calls_is_merged() -> None:
    def nested(leaf: object) -> object:
        for _ in range(5000):
            leaf = {"in": leaf}
        return leaf

    found = merged(nested({}), nested({"a": 1}), nested({"b": 2}))
    for _ in range(5000):
        found = found["in"]

    assert found == {"b": 2, "a": 1}


@pytest.mark.parametrize("kind", ["dict", "list", "set"])
def test_ten_times_the_items_take_about_ten_times_the_time(kind: str) -> None:
    def values(count: int, further: str) -> object:
        texts = [f"key {number}" for number in range(count)]
        match kind:
            case "dict":
                return {**dict.fromkeys(texts, 1), further: 1}
            case "list":
                return [*texts, further]
            case _:
                return {*texts, further}

    def duration(count: int) -> float:
        base, mine, theirs = (values(count, further) for further in ("", "a", "b"))
        taken: list[float] = []
        for _ in range(3):
            started = time.process_time()
            merged(base, mine, theirs)
            taken.append(time.process_time() - started)
        return min(taken)

    assert duration(30_000) < 60 * duration(3_000)


class Kinds(SessionModel):
    number: int = 0
    text: str | None = None
    either: int | str = 0
    pair: tuple[int, str] = (0, "")
    several: tuple[int, ...] = ()
    items: list[int] = []
    maybe: list[int] | None = None
    anything: Any = None
    checked: Annotated[list[int], AfterValidator(sorted)] = []
    count: Annotated[int, Merge.add] = 0
    whole: Annotated[list[int], Merge.later] = []
    excluded: int = Field(0, exclude=True)


def test_only_fields_whose_changes_may_be_merged_are_compared() -> None:
    merger = Merger(Kinds)

    assert merger.compared == {"items", "count"}
    assert merger.marked == {"count"}
    for name in ("number", "text", "either", "whole"):
        assert not merger.needs_compare(name, [1], [1, 2])
    for name in ("maybe", "anything", "checked", "several"):
        assert merger.needs_compare(name, [1], [1, 2])
        assert merger.needs_compare(name, None, [1])
        assert merger.needs_compare(name, ABSENT, {})
        assert not merger.needs_compare(name, [1], {})
        assert not merger.needs_compare(name, [1], None)
        assert not merger.needs_compare(name, "a", "b")
    assert merger.needs_compare("count", 1, 2)


def test_a_class_keyword_says_how_fields_without_a_mark_are_merged() -> None:
    class Strict(SessionModel, merge=Merge.conflict, extra="allow"):
        name: str = ""
        count: Annotated[int, Merge.add] = 0
        votes: dict[str, Annotated[int, Merge.add]] = {}
        address: Address = Address()
        items: Annotated[list[int], Merge.structure] = []

    class Loose(Strict, merge=Merge.later):
        plain: list[int] = []

    class Heir(Loose):
        pass

    strict, loose, heir = Merger(Strict), Merger(Loose), Merger(Heir)

    assert strict.compared == {"name", "count", "votes", "address", "items"}
    assert strict.marked == {"name", "count", "votes", "address"}
    assert strict.needs_compare("extra", 1, 2)
    assert loose.compared == heir.compared == {"count", "votes", "address", "items"}
    assert not heir.needs_compare("plain", [1], [1, 2])
    assert not heir.needs_compare("extra", [1], [1, 2])
    base, mine, theirs = (
        Strict(),
        Strict.model_validate({"name": "a", "items": [1], "x": 1}),
        Strict(name="b", items=[2]),
    )
    assert strict.merge(base, mine, theirs, ["items"]) == {"items": [2, 1]}
    with pytest.raises(ConflictError, match=r"Strict\.name: another request changed it"):
        strict.merge(base, mine, theirs, ["items", "name"])
    with pytest.raises(ConflictError, match=r"Strict\.x"):
        strict.merge(base, mine, Strict.model_validate({"x": 2}), ["x"])


class Stand(BaseModel, extra="allow"):
    sold: Annotated[int, Merge.add] = 0
    owner: str = ""
    goods: list[str] = []


@dataclass
class Booth:
    sold: Annotated[int, Merge.add] = 0
    owner: str = ""


class Stall(TypedDict, total=False):
    sold: Annotated[int, Merge.add]
    owner: str


class Market(SessionModel, merge=Merge.conflict):
    stand: Stand = Stand()
    stands: dict[str, dict[str, Stand]] = {}
    booth: Booth = Booth()
    stall: Stall = {}


class LaterMarket(Market, merge=Merge.later):
    pass


@pytest.mark.parametrize(
    ("name", "base", "mine", "theirs"),
    [
        ("stand", {}, {"owner": "me"}, {"owner": "you"}),
        ("stand", {}, {"goods": ["me"]}, {"goods": ["you"]}),
        ("stand", {}, {"extra": ["me"]}, {"extra": ["you"]}),
        ("stands", {"a": {"b": {}}}, {"a": {"b": {"owner": "me"}}}, {"a": {"b": {"owner": "you"}}}),
        ("booth", {}, {"owner": "me"}, {"owner": "you"}),
        ("stall", {}, {"owner": "me"}, {"owner": "you"}),
    ],
)
def test_a_class_keyword_applies_beside_marks_at_every_depth(name: str, base: Any, mine: Any, theirs: Any) -> None:
    def models(kind: type[Market]) -> tuple[Market, Market, Market]:
        one, other, third = (kind.model_validate({name: value}) for value in (base, mine, theirs))
        return one, other, third

    with pytest.raises(ConflictError, match=rf"Market\.{name}"):
        Merger(Market).merge(*models(Market), [name])
    before, now, stored = models(LaterMarket)
    assert Merger(Market).marked == Merger(LaterMarket).marked
    assert Merger[Market](LaterMarket).merge(before, now, stored, [name]) == {name: getattr(now, name)}


@pytest.mark.parametrize("name", ["stand", "booth", "stall"])
def test_marks_count_beside_a_class_keyword(name: str) -> None:
    base, mine, theirs = (Market.model_validate({name: {"sold": sold}}) for sold in (1, 3, 5))
    merged = Merger(Market).merge(base, mine, theirs, [name])
    assert merged == {name: getattr(Market.model_validate({name: {"sold": 7}}), name)}


def test_a_session_inside_of_a_session_is_merged_as_its_class_says() -> None:
    class Inner(SessionModel, merge=Merge.conflict):
        name: str = ""

    class Outer(SessionModel):
        inner: Inner = Inner()

    merger = Merger(Outer)
    assert merger.marked == {"inner"}
    with pytest.raises(ConflictError, match=r"Outer\.inner"):
        merger.merge(Outer(), Outer(inner=Inner(name="a")), Outer(inner=Inner(name="b")), ["inner"])
