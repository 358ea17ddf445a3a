"""Laws that merging keeps for all values."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json

from ndb_models import Merge, SessionModel
from ndb_models.schema.merging import Merger
from ndb_models.schema.value_equality import OF_CHANGES, difference


class Profile(BaseModel):
    name: str = ""
    tags: set[str] = set()
    visits: Annotated[int, Merge.add] = 0
    notes: list[str] = []


@dataclass
class Place:
    x: int = 0
    near: tuple[int, ...] = ()


class Shop(SessionModel):
    anything: Any = None
    cart: dict[str, int] = {}
    votes: dict[str, Annotated[int, Merge.add]] = {}
    nested: dict[str, dict[str, list[int]]] = {}
    tags: set[int] = set()
    events: list[int] = []
    queue: deque[int] = deque()
    counts: Counter[str] = Counter()
    ordered: OrderedDict[str, int] = Field(default_factory=OrderedDict)
    lists: defaultdict[str, list[int]] = Field(default_factory=lambda: defaultdict[str, list[int]](list))
    visits: Annotated[int, Merge.add] = 0
    best: Annotated[int, Merge.max] = 0
    profile: Profile = Profile()
    place: Place = Field(default_factory=Place)
    maybe: list[int] | dict[str, int] | None = None


MERGER = Merger(Shop)
NAMES = tuple(Shop.model_fields)

KEYS = st.sampled_from("abc")
NUMBERS = st.integers(0, 3)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.sampled_from([0.0, 1.0, -0.0]) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def dicts(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(KEYS, values, max_size=3)


SHOPS = st.builds(
    Shop,
    anything=JSON,
    cart=dicts(NUMBERS),
    votes=dicts(NUMBERS),
    nested=dicts(dicts(st.lists(NUMBERS, max_size=2))),
    tags=st.sets(NUMBERS),
    events=st.lists(NUMBERS, max_size=3),
    queue=st.lists(NUMBERS, max_size=3).map(deque),
    counts=dicts(NUMBERS).map(Counter),
    ordered=st.lists(st.tuples(KEYS, NUMBERS), max_size=3).map(OrderedDict),
    lists=dicts(st.lists(NUMBERS, max_size=2)).map(lambda values: defaultdict(list, values)),
    visits=NUMBERS,
    best=NUMBERS,
    profile=st.builds(
        Profile, name=KEYS, tags=st.sets(KEYS, max_size=2), visits=NUMBERS, notes=st.lists(KEYS, max_size=2)
    ),
    place=st.builds(Place, NUMBERS, st.lists(NUMBERS, max_size=2).map(tuple)),
    maybe=st.none() | st.lists(NUMBERS, max_size=2) | dicts(NUMBERS),
)


def merged(base: Shop, mine: Shop, theirs: Shop) -> Shop:
    before = [copy.deepcopy(model) for model in (base, mine, theirs)]
    values = MERGER.merge(base, mine, theirs, NAMES)
    assert all(is_same(model, was) for model, was in zip((base, mine, theirs), before, strict=True))
    return theirs.model_copy(update=values)


def is_same(one: object, other: object) -> bool:
    return difference(one, other, OF_CHANGES) is None


@settings(max_examples=40, deadline=None)
@given(SHOPS, SHOPS)
def test_where_the_others_changed_nothing_my_model_is_stored(base: Shop, mine: Shop) -> None:
    assert is_same(merged(base, mine, copy.deepcopy(base)), mine)


@settings(max_examples=40, deadline=None)
@given(SHOPS, SHOPS)
def test_where_i_changed_nothing_theirs_stays(base: Shop, theirs: Shop) -> None:
    assert is_same(merged(base, copy.deepcopy(base), theirs), theirs)


@settings(max_examples=40, deadline=None)
@given(SHOPS, SHOPS, SHOPS)
def test_a_merged_model_comes_back_from_the_store(base: Shop, mine: Shop, theirs: Shop) -> None:
    found = merged(base, mine, theirs)

    assert is_same(Shop.model_validate_json(found.model_dump_json()), found)


@settings(max_examples=40, deadline=None)
@given(SHOPS, SHOPS, SHOPS)
def test_the_result_holds_nothing_that_neither_of_the_two_holds(base: Shop, mine: Shop, theirs: Shop) -> None:
    found = merged(base, mine, theirs)

    assert found.cart.items() <= mine.cart.items() | theirs.cart.items()
    assert mine.tags & theirs.tags <= found.tags <= mine.tags | theirs.tags
    assert not Counter(found.events) - Counter(mine.events) - Counter(theirs.events)


@settings(max_examples=40, deadline=None)
@given(SHOPS, SHOPS, SHOPS)
def test_sums_maxima_and_sets_are_the_same_in_either_order(base: Shop, one: Shop, other: Shop) -> None:
    first, second = merged(base, one, other), merged(base, other, one)

    assert first.visits == second.visits == one.visits + other.visits - base.visits
    assert first.tags == second.tags
    assert first.profile.tags == second.profile.tags
    assert first.profile.visits == second.profile.visits
    if base.best not in (one.best, other.best):
        assert first.best == second.best == max(one.best, other.best)


@settings(max_examples=40, deadline=None)
@given(JSON, JSON, JSON)
def test_dicts_are_the_same_in_either_order_if_their_keys_are_disjoint(common: Any, one: Any, other: Any) -> None:
    base = Shop(anything={"common": common})
    first, second = (Shop(anything={"common": common, key: value}) for key, value in (("one", one), ("other", other)))

    expected = {"common": common, "one": one, "other": other}
    assert is_same(merged(base, first, second).anything, expected)
    assert is_same(merged(base, second, first).anything, expected)


@settings(max_examples=40, deadline=None)
@given(JSON, JSON, JSON)
def test_any_json_is_merged_into_json(base: Any, mine: Any, theirs: Any) -> None:
    found = merged(Shop(anything=base), Shop(anything=mine), Shop(anything=theirs)).anything

    assert is_same(from_json(to_json(found)), found)


# What clients do, each to its own part of the session or in a way that commutes.


def _put(shop: Shop, client: int, step: int) -> None:
    shop.cart[f"{client}.{step}"] = step
    shop.nested.setdefault(f"{client}", {}).setdefault("steps", []).append(step)


def _count(shop: Shop, client: int, step: int) -> None:
    shop.visits += step
    shop.votes["all"] = shop.votes.get("all", 0) + step
    shop.counts["all"] += 1
    shop.profile.visits += 1
    shop.best = max(shop.best, step)


def _mark(shop: Shop, client: int, step: int) -> None:
    shop.tags.add(100 * client + step)
    shop.profile.tags.add(f"{client}.{step}")
    shop.tags.discard(100 * client + step - 1)


def _append(shop: Shop, client: int, step: int) -> None:
    shop.events.append(100 * client + step)
    shop.queue.append(100 * client + step)
    shop.lists["all"].append(100 * client + step)
    shop.place.near = (*shop.place.near, client)


def _replace(shop: Shop, client: int, step: int) -> None:
    shop.cart[f"{client}"] = step
    if step % 2:
        shop.cart.pop(f"{client}.{step - 1}", None)


OPERATIONS: Sequence[Callable[[Shop, int, int], None]] = (_put, _count, _mark, _append, _replace)


def _comparable(shop: Shop) -> dict[str, Any]:
    """A model's values, without the order of what several clients appended to one list."""
    values = shop.model_dump()
    for name in ("events", "queue"):
        values[name] = sorted(values[name])
    return {
        **values,
        "lists": {key: sorted(each) for key, each in shop.lists.items()},
        "place": sorted(shop.place.near),
    }


PLANS = st.integers(2, 5).flatmap(
    lambda clients: st.lists(st.tuples(st.integers(0, clients - 1), st.sampled_from(OPERATIONS)), max_size=20)
)


@settings(max_examples=40, deadline=None)
@given(PLANS, st.data())
def test_all_changes_of_several_clients_survive_in_any_order_of_their_reads_and_writes(
    plan: list[tuple[int, Callable[[Shop, int, int], None]]], data: st.DataObject
) -> None:
    stored, expected = Shop(), Shop()
    read: dict[int, Shop] = {}
    changed: dict[int, Shop] = {}
    for step, (client, operation) in enumerate(plan):
        if client not in read:
            read[client] = copy.deepcopy(stored)
            changed[client] = copy.deepcopy(stored)
        operation(changed[client], client, step)
        operation(expected, client, step)
        if data.draw(st.booleans()):
            stored = merged(read.pop(client), changed.pop(client), stored)
            stored = Shop.model_validate_json(stored.model_dump_json())
    for client, mine in changed.items():
        stored = merged(read[client], mine, stored)

    assert _comparable(stored) == _comparable(expected)
