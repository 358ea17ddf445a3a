"""A store in memory with limits: what is beyond them changes nothing, what has expired makes room, bytes add up."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndb_models.json_text import ObjectText
from ndb_models.stores.contract import (
    NEVER,
    SHARED,
    ExpirySettings,
    Limit,
    LimitError,
    Scope,
    Statistics,
    UnknownSessionError,
)
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from tests.conftest import VirtualClock

TOKEN = 7
MINUTE = ExpirySettings(60, delete_session=True)


def bounded(clock: VirtualClock | None = None, **limits: int) -> MemoryStore:
    return MemoryStore(StoreLimits(**limits), clock=clock or VirtualClock())


async def size_of(store: MemoryStore) -> int:
    size = (await store.statistics()).size
    assert size is not None
    return size


async def size_anew(store: MemoryStore) -> int:
    """Return the bytes of a new store that holds the same."""
    anew = bounded(size=10**9)
    await anew.replace(SHARED, await store.get_all(SHARED))
    for record in await store.export():
        await anew.create(record.token, record.expiry, record.keys)
    return await size_of(anew)


async def full_store(scope: Scope, clock: VirtualClock | None = None, expiry: ExpirySettings = NEVER) -> MemoryStore:
    """Return a store with no byte to spare, in which there is one value of 12 bytes."""
    trial = bounded(size=10**9)
    await trial.create(TOKEN, expiry)
    await trial.set(scope, {"a": b"123456789012"})
    store = bounded(clock, size=await size_of(trial))
    await store.create(TOKEN, expiry)
    await store.set(scope, {"a": b"123456789012"})
    return store


async def test_a_session_more_than_there_may_be_is_not_created() -> None:
    store = bounded(sessions=2)
    for token in (1, 2):
        assert await store.create(token, NEVER)
    with pytest.raises(LimitError, match="at most 2 sessions") as full:
        await store.create(3, NEVER, {"a": b"1"})
    assert (full.value.limit, full.value.most) == (Limit.SESSIONS, 2)
    assert await store.exist([1, 2, 3]) == [1, 2]
    assert not await store.create(2, NEVER)
    assert await store.end(1)
    assert await store.create(3, NEVER)


async def test_sessions_that_have_expired_make_room(clock: VirtualClock) -> None:
    store = bounded(clock, sessions=2)
    await store.create(1, MINUTE, {"abcd": b"12345"})
    await store.create(2, NEVER)
    clock.move(60)
    assert await store.create(3, NEVER, {"abcd": b"12345"})
    assert await store.exist([1, 2, 3]) == [2, 3]


@pytest.mark.parametrize("verb", ["set", "add", "replace", "create"])
async def test_a_key_more_than_a_session_may_have_is_not_stored(verb: str) -> None:
    store = bounded(keys=2)
    await store.create(TOKEN, NEVER, {"a": b"1"})
    keys = {"b": b"2", "c": b"3", "d": b"4"}
    with pytest.raises(LimitError, match="at most 2 keys in a session"):
        await (store.create(8, NEVER, keys) if verb == "create" else getattr(store, verb)(TOKEN, keys))
    assert await store.get_all(TOKEN) == {"a": b"1"}
    assert await store.exist([8]) == []
    await store.set(TOKEN, {"a": b"3", "b": b"4"})
    await store.add(TOKEN, {"a": b"5", "b": b"6"})
    assert await store.get_all(TOKEN) == {"a": b"3", "b": b"4"}


async def test_the_shared_map_may_have_any_number_of_keys() -> None:
    store = bounded(keys=1)
    await store.set(SHARED, {"a": b"1", "b": b"2"})
    assert await store.count(SHARED) == 2


async def test_bytes_of_sessions_that_have_expired_make_room(clock: VirtualClock) -> None:
    store = await full_store(TOKEN, clock, MINUTE)
    clock.move(60)
    assert await store.create(8, MINUTE)
    await store.set(8, {"a": b"123456789012"})
    assert await store.exist([TOKEN, 8]) == [8]


async def test_what_has_expired_makes_room_for_a_write_that_creates_no_session(clock: VirtualClock) -> None:
    store = await full_store(TOKEN, clock, MINUTE)
    with pytest.raises(LimitError):
        await store.set(SHARED, {"a": b"1"})
    clock.move(60)
    await store.set(SHARED, {"a": b"1"})
    assert await store.get_all(SHARED) == {"a": b"1"}


@pytest.mark.parametrize("scope", [SHARED, TOKEN], ids=["shared", "session"])
async def test_bytes_more_than_there_may_be_are_not_stored(scope: Scope) -> None:
    store = await full_store(scope)
    size = await size_of(store)
    for change in (
        store.set(scope, {"a": b"1234567890123"}),
        store.set(scope, {"b": b"1"}),
        store.add(scope, {"b": b"1"}),
        store.replace(scope, {"a": b"1234567890123"}),
        store.change(scope, {"a": b"12345678901234567890"}, expected={"a": b"123456789012"}),
        store.create(8, NEVER),
    ):
        with pytest.raises(LimitError, match=f"at most {size} bytes of names and values"):
            await change
    assert await store.get_all(scope) == {"a": b"123456789012"}
    assert await size_of(store) == size
    await store.add(scope, {"a": b"12345678901234567890"})
    await store.set(scope, {"a": b"123456789"})
    assert await size_of(store) == size - 3


async def test_swapped_values_count() -> None:
    store = await full_store(TOKEN)
    with pytest.raises(LimitError):
        await store.expire(TOKEN, MINUTE, swaps={"a": (b"123456789012", b"1234567890123")})
    assert (await store.info(TOKEN)).expiry == NEVER
    assert await store.expire(TOKEN, MINUTE, swaps={"a": (b"123456789012", b"1")})


async def test_removing_makes_room() -> None:
    store = await full_store(SHARED)
    await store.remove(SHARED, ["a", "a", "missing"])
    await store.set(SHARED, {"b": b"123456789012"})


async def test_a_refused_write_does_not_extend_the_session(clock: VirtualClock) -> None:
    store = await full_store(TOKEN, clock, ExpirySettings(60, delete_session=True, extend_on_set_add=True))
    clock.move(50)
    with pytest.raises(LimitError):
        await store.set(TOKEN, {"a": b"1234567890123"})
    assert (await store.info(TOKEN)).remaining == 10


async def test_what_a_session_that_is_gone_would_have_held_is_not_counted(clock: VirtualClock) -> None:
    store = await full_store(TOKEN, clock, MINUTE)
    clock.move(60)
    with pytest.raises(UnknownSessionError):
        await store.set(TOKEN, {"b": b"1234567890123"})


async def test_time_that_goes_on_while_a_verb_is_carried_out_does_no_harm() -> None:
    ticking = VirtualClock()

    def tick() -> float:
        ticking.move(0.4)
        return ticking.now

    store = MemoryStore(StoreLimits(size=4000), clock=tick)
    for token in range(300):
        verbs: list[Any] = [
            store.create(token, ExpirySettings(1 + token % 3, delete_session=bool(token % 2)), {"abc": b"1"}),
            store.set(token, {"d": b"23"}),
            store.remove(token, ["abc"]),
            store.clear(token),
        ]
        for verb in verbs:
            with contextlib.suppress(UnknownSessionError, LimitError):
                await verb
    ticking.move(10)
    await store.sweep()
    assert await size_of(store) == await size_anew(store)


@pytest.mark.parametrize("name", ["a" * 1000, "ä" * 1000, "a" * 1000 + "\N{GRINNING FACE}"])
async def test_names_count_for_what_they_take(name: str) -> None:
    store = bounded(size=10**9)
    await store.set(SHARED, {name: b"1"})
    name.encode()
    assert await size_of(store) > sys.getsizeof(name) + len(name.encode())


async def test_names_that_sessions_share_count_once() -> None:
    store, name = bounded(size=10**9), "n" * 10_000
    for token in range(100):
        await store.create(token, NEVER, ObjectText.joined({name: b"1"}))
    assert await size_of(store) < 2_000_000
    kept = [record.keys for record in await store.export()]
    assert len({id(keys.names) for keys in kept if isinstance(keys, ObjectText)}) == 1


async def test_limits_that_are_not_set_are_none() -> None:
    store = bounded()
    await store.create(TOKEN, NEVER, {"a": b"x" * 100_000})
    assert await store.statistics() == Statistics(1, 1, 0)


NAMES = st.sampled_from(["a", "b", "é", "long name"])
KEYS = st.dictionaries(NAMES, st.sampled_from([b"1", b'"some text"', b"[1,2,3]"]), max_size=3)
TOKENS = st.sampled_from([1, 2, 3])
SCOPES = st.one_of(st.none(), TOKENS)
EXPIRIES = st.sampled_from([NEVER, MINUTE, ExpirySettings(30), ExpirySettings(60, True, True, True)])
TEXTS = KEYS.map(ObjectText.joined)
EXPECTED = st.dictionaries(NAMES, st.one_of(st.none(), st.just(b"1")), max_size=1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["set", "add", "replace"]), SCOPES, st.one_of(KEYS, TEXTS)),
        st.tuples(st.just("remove"), SCOPES, st.lists(NAMES)),
        st.tuples(st.just("change"), SCOPES, st.one_of(KEYS, TEXTS), st.lists(NAMES), EXPECTED),
        st.tuples(st.sampled_from(["clear", "get_all", "count"]), SCOPES),
        st.tuples(st.just("create"), TOKENS, EXPIRIES, st.one_of(KEYS, TEXTS)),
        st.tuples(st.just("end"), TOKENS),
        st.tuples(st.just("expire"), TOKENS, EXPIRIES),
        st.tuples(st.sampled_from(["end_all", "sweep"])),
        st.tuples(st.just("move"), st.sampled_from([1, 29, 45])),
    ),
    max_size=30,
)


@pytest.mark.slow
@pytest.mark.unmeasured
@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_whatever_is_done_the_bytes_are_those_that_are_there_and_never_too_many(steps: list[tuple[Any, ...]]) -> None:
    async def run() -> None:
        clock = VirtualClock()
        store = bounded(clock, sessions=2, keys=3, size=3000)
        for name, *arguments in steps:
            if name == "move":
                clock.move(*arguments)
                continue
            with contextlib.suppress(LimitError, UnknownSessionError):
                await getattr(store, name)(*arguments)
            await store.sweep()
            assert await size_of(store) == await size_anew(store) <= 3000
            records = await store.export()
            assert len(records) <= 2
            assert all(len(record.keys) <= 3 for record in records)

    asyncio.run(run())
