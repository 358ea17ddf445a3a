"""All sessions are gone through in pages: which are on them, how large they are, and what others do meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from ndb_models.json_text import finished
from ndb_models.stores.contract import NEVER, ExpirySettings, Store
from ndb_models.stores.listing import TokenOrder
from tests.conftest import VirtualClock

ENDING = ExpirySettings(60, delete_session=True, extend_on_set_add=True, extend_on_get=True)
EMPTYING = ExpirySettings(60, delete_session=False, extend_on_set_add=True, extend_on_get=True)
ROOM = 1_000_000

# At both ends, and where the signed integers of a file go over.
TOKENS = [1, 2, 5, 2**31, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]


async def listed(
    store: Store, count: int, between: Callable[[], Awaitable[object]] | None = None, most: int = ROOM
) -> list[tuple[int, bytes]]:
    """Return the tokens and values of all pages."""
    found: list[tuple[int, bytes]] = []
    page = await store.page("a", None, count, most)
    while True:
        assert len(page.values) <= count
        found += page.values.items()
        if page.last is None:
            return found
        if between is not None:
            await between()
        page = await store.page("a", page.last, count, most)


@pytest.mark.parametrize("count", [1, 2, 3, 9, 4096])
async def test_every_session_is_on_one_page(store: Store, count: int) -> None:
    assert await listed(store, count) == []
    for number, token in enumerate(TOKENS):
        assert await store.create(token, NEVER, {"a": b"%d" % number, "b": b"2"})
    found = await listed(store, count)
    assert sorted(found) == [(token, b"%d" % number) for number, token in enumerate(TOKENS)]
    assert await listed(store, count) == found


async def test_sessions_without_the_key_are_passed_over(store: Store) -> None:
    for token in range(1, 11):
        assert await store.create(token, NEVER, {"a" if token % 3 else "b": b"1"})
    assert {token for token, _ in await listed(store, 2)} == {1, 2, 4, 5, 7, 8, 10}


async def test_values_come_byte_for_byte(store: Store) -> None:
    assert await store.create(5, NEVER, {"a": b'{"x": 1.0, "y":"\xc3\xa9"}'})
    assert await listed(store, 5) == [(5, b'{"x": 1.0, "y":"\xc3\xa9"}')]


async def test_a_token_whose_session_has_ended_still_says_where_to_go_on(store: Store) -> None:
    for token in TOKENS:
        assert await store.create(token, NEVER, {"a": b"1"})
    page = await store.page("a", None, 4, ROOM)
    assert page.last is not None
    assert await store.end(page.last)
    following = await store.page("a", page.last, 5, ROOM)
    assert {*page.values, *following.values} == {*TOKENS}


async def test_expired_sessions_are_not_listed_and_listing_extends_none(store: Store, clock: VirtualClock) -> None:
    assert await store.create(1, ENDING, {"a": b"1"})
    assert await store.create(2, EMPTYING, {"a": b"1"})
    clock.move(30)
    assert await store.create(3, ENDING, {"a": b"1"})
    assert {token for token, _ in await listed(store, 2)} == {1, 2, 3}
    clock.move(30)
    assert await listed(store, 2) == [(3, b"1")]
    clock.move(30)
    assert await listed(store, 2) == []


async def test_a_session_that_lives_all_the_time_is_listed_once_while_others_come_and_go(store: Store) -> None:
    drawn = random.Random(5)
    staying = {drawn.getrandbits(64) for _ in range(60)}
    passing = [drawn.getrandbits(64) for _ in range(30)]
    for token in (*staying, *passing):
        assert await store.create(token, NEVER, {"a": b"1"})
    came: set[int] = set()

    async def others() -> None:
        if passing:
            assert await store.end(passing.pop())
        for _ in range(2):
            came.add(token := drawn.getrandbits(64))
            assert await store.create(token, NEVER, {"a": b"1"})

    went = {*passing}
    tokens = [token for token, _ in await listed(store, 5, others)]
    assert len(tokens) == len({*tokens})
    assert staying <= {*tokens} <= staying | went | came


async def test_listings_at_the_same_time_do_not_disturb_each_other(store: Store) -> None:
    for token in range(1, 41):
        assert await store.create(token, NEVER, {"a": b"1"})
    made = iter(range(41, 100))

    async def another() -> None:
        await store.create(next(made), NEVER, {"a": b"1"})

    found = await asyncio.gather(*[listed(store, count, another) for count in (4, 7, 40)])
    for tokens in found:
        assert len(tokens) == len({*tokens})
        assert {*range(1, 41)} <= {token for token, _ in tokens}


async def test_a_page_ends_before_its_values_are_larger_than_they_may_be(store: Store) -> None:
    for token in range(1, 8):
        assert await store.create(token, NEVER, {"a": b'"%b"' % (b"x" * 98)})
    page = await store.page("a", None, 7, 250)
    assert len(page.values) in (2, 7)  # a server has its own limit
    assert len(await listed(store, 7, most=250)) == 7
    assert len(await listed(store, 7, most=10)) == 7  # a single value may be of any size


def test_an_order_of_tokens_is_not_replaced_by_one_that_was_begun_earlier() -> None:
    order = TokenOrder()
    earlier = order.sorting(lambda: [3, 1, 2])
    next(earlier)
    assert [*finished(order.sorting(lambda: [6, 5]))] == [5, 6]
    assert [*finished(earlier)] == [1, 2, 3]
    assert order.tokens is not None
    assert [*order.tokens] == [5, 6]


def test_many_tokens_are_sorted_in_turns() -> None:
    drawn = random.Random(5)
    tokens = [drawn.getrandbits(64) for _ in range(10_000)]
    order = TokenOrder()
    assert [*finished(order.sorting(lambda: [*tokens]))] == sorted(tokens)


async def test_a_listing_that_ends_leaves_another_one_its_way(store: Store) -> None:
    for token in range(1, 8):
        assert await store.create(token, NEVER, {"a": b"1"})
    page = await store.page("a", None, 3, ROOM)
    assert len(await listed(store, 2)) == 7
    following = await store.page("a", page.last, 4, ROOM)
    assert {*page.values, *following.values} == {*range(1, 8)}
