"""What is the memory store's own: what nobody can reach is not kept either."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ndb_models.json_text import ObjectText
from ndb_models.stores.contract import NEVER, SHARED, ExpirySettings, Statistics
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock

VALUE_SIZE = 10_000


@pytest.fixture
def store(clock: VirtualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@contextmanager
def tracing() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def occupied() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def fill(store: MemoryStore, tokens: range, settings: ExpirySettings) -> None:
    for token in tokens:
        await store.create(token, settings)
        await store.set(token, {"a": bytes(VALUE_SIZE)})


@pytest.mark.slow
@pytest.mark.parametrize("delete_session", [True, False])
async def test_creations_free_what_has_expired_without_anyone_asking(
    store: MemoryStore, clock: VirtualClock, delete_session: bool
) -> None:
    with tracing():
        before = occupied()
        await fill(store, range(400), ExpirySettings(60, delete_session))
        assert occupied() - before > 400 * VALUE_SIZE
        clock.move(60)
        for token in range(1000, 1050):
            await store.create(token, ExpirySettings(60, delete_session))
        assert occupied() - before < 40 * VALUE_SIZE


@pytest.mark.slow
@pytest.mark.parametrize("delete_session", [True, False])
async def test_a_sweep_frees_all_that_has_expired(
    store: MemoryStore, clock: VirtualClock, delete_session: bool
) -> None:
    with tracing():
        before = occupied()
        await fill(store, range(400), ExpirySettings(60, delete_session))
        clock.move(60)
        await store.sweep()
        assert occupied() - before < 40 * VALUE_SIZE


@pytest.mark.slow
async def test_sessions_that_were_extended_are_freed_too(store: MemoryStore, clock: VirtualClock) -> None:
    with tracing():
        before = occupied()
        await fill(store, range(400), ExpirySettings(60, delete_session=True, extend_on_get=True))
        clock.move(59)
        for token in range(400):
            assert await store.get(token, ["a"])
        clock.move(30)
        await store.sweep()
        assert occupied() - before > 400 * VALUE_SIZE
        clock.move(30)
        await store.sweep()
        assert occupied() - before < 40 * VALUE_SIZE


@pytest.mark.slow
@pytest.mark.unmeasured
@pytest.mark.parametrize("settings", [ExpirySettings(), ExpirySettings(3600, delete_session=True), ExpirySettings(1)])
async def test_sessions_that_come_and_go_leave_nothing_behind(
    store: MemoryStore, clock: VirtualClock, settings: ExpirySettings
) -> None:
    async def churn(count: int) -> None:
        for token in range(count):
            await store.create(token, settings)
            await store.set(token, {"a": b"1"})
            clock.move(0.001)
            await store.end(token)

    await churn(1000)
    with tracing():
        before = occupied()
        await churn(20_000)
        assert occupied() - before < 50_000


@pytest.mark.slow
@pytest.mark.unmeasured
async def test_one_token_that_comes_and_goes_leaves_nothing_behind(store: MemoryStore) -> None:
    async def churn(count: int) -> None:
        for _ in range(count):
            await store.create(1, ExpirySettings(3600))
            await store.end(1)

    await churn(1000)
    with tracing():
        before = occupied()
        await churn(20_000)
        assert occupied() - before < 50_000


async def test_sessions_may_expire_while_all_are_exported() -> None:
    moments = itertools.count()
    store = MemoryStore(clock=lambda: float(next(moments)))
    for token in range(100):
        await store.create(token, ExpirySettings(150, delete_session=True))
    # The clock ticks whenever it is looked at; the sessions are as of one moment.
    assert len(await store.export()) == 100


@pytest.mark.slow
async def test_ending_all_frees_all(store: MemoryStore) -> None:
    with tracing():
        before = occupied()
        await fill(store, range(400), ExpirySettings(60))
        await store.end_all()
        assert occupied() - before < 40 * VALUE_SIZE


async def test_closing_keeps_the_data(store: MemoryStore) -> None:
    await store.create(1, ExpirySettings())
    await store.set(1, {"a": b"1"})
    await store.aclose()
    assert await store.get_all(1) == {"a": b"1"}


async def test_time_is_its_own_where_no_clock_is_given() -> None:
    store = MemoryStore()
    await store.create(1, ExpirySettings(3600, delete_session=True))
    remaining = (await store.info(1)).remaining
    assert remaining is not None
    assert 3590 < remaining <= 3600


@pytest.mark.slow
async def test_keys_that_are_all_written_again_stay_one_text(store: MemoryStore) -> None:
    """A million sessions that are saved over and over take as much memory as a million that were only created."""
    names = tuple(f"key{number}" for number in range(20))
    with tracing():
        before = occupied()
        for token in range(200):
            await store.create(token, ExpirySettings(), ObjectText.joined(dict.fromkeys(names, b"1")))
        created = occupied() - before
        for token in range(200):
            await store.set(token, ObjectText.joined(dict.fromkeys(names, b"2")))
        assert occupied() - before < 1.1 * created
    assert await store.get_all(7) == dict.fromkeys(names, b"2")


async def test_a_session_created_while_the_agenda_is_made_anew_expires_too(clock: VirtualClock) -> None:
    store = MemoryStore(clock=clock)
    settings = ExpirySettings(10, delete_session=True)
    for token in range(1, 66):
        await store.create(token, settings)
        await store.end(token)
    await store.create(1000, settings)
    clock.move(11)
    await store.sweep()
    assert await store.statistics() == Statistics(sessions=0, keys=0, expired=1)


async def test_many_keys_are_removed_and_ended_as_few_are() -> None:
    keys = {f"key{number}": b"%d" % number for number in range(5000)}
    store = MemoryStore()
    await store.set(SHARED, keys)
    assert await store.clear(SHARED) == 5000
    assert await store.create(7, NEVER, keys)
    assert await store.replace(7, {"a": b"1"}) == 5000
    await store.set(7, keys)
    assert await store.end(7)
    assert await store.totals() == (0, 0)


LISTED = 5_000


@pytest.mark.parametrize("ended_by", ["a minute without a page", "the end of all sessions"])
async def test_what_a_listing_that_is_left_early_holds_is_freed(
    store: MemoryStore, clock: VirtualClock, ended_by: str
) -> None:
    for token in range(1, LISTED + 1):
        await store.create(token, NEVER)
    with tracing():
        before = occupied()
        page = await store.page("a", None, 100, 1000)
        clock.move(59)
        await store.sweep()
        assert occupied() - before > 8 * LISTED
        if ended_by == "a minute without a page":
            clock.move(1)
            await store.sweep()
        else:
            await store.end_all()
        assert occupied() - before < 4 * LISTED
    if ended_by == "a minute without a page":  # the listing goes on all the same
        following = await store.page("a", page.last, LISTED, 1000)
        assert (page.last, following.last) == (100, None)
