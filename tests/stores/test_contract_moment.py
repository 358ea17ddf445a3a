"""All sessions are read as of one moment, whatever others do meanwhile; and nobody waits for that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import pytest

from ndb_models.stores.contract import NEVER, ExpirySettings, SessionRecord, Store
from tests.conftest import VirtualClock
from tests.stores.conftest import STORES

# More than a store reads ahead.
NUMBER = 3000
HOUR = ExpirySettings(3600, delete_session=True, extend_on_get=True)
EMPTIED = ExpirySettings(3600)

Seen: TypeAlias = dict[int, tuple[ExpirySettings, dict[str, bytes]]]


OF_ONE_MOMENT = [name for name in STORES if "redis" not in name]
"""The stores that can read all sessions as of one moment: several servers have no moment in common."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=[] if name == "memory" or "redis" in name else [pytest.mark.unmeasured])
        for name in STORES
    ]
)
async def filled(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Store]:
    """A store of many sessions: every third never expires, every third loses its keys."""
    async with STORES[request.param](tmp_path, clock) as store:
        settings = (NEVER, HOUR, EMPTIED)
        await asyncio.gather(
            *(store.create(token, settings[token % 3], {"a": b"%d" % token}) for token in range(NUMBER))
        )
        yield store


def seen(records: Iterable[SessionRecord]) -> Seen:
    return {record.token: (record.expiry, dict(record.keys)) for record in records}


class Reader:
    """Reads all sessions, and waits behind the first until it may go on."""

    def __init__(self, store: Store) -> None:
        self._has_begun, self._may_go_on = threading.Event(), threading.Event()
        self._reading = asyncio.create_task(store.read_all(self._consume))

    def _consume(self, records: Iterable[SessionRecord]) -> Seen:
        def slowly() -> Iterable[SessionRecord]:
            for record in records:
                self._has_begun.set()
                assert self._may_go_on.wait(60)
                yield record

        return seen(slowly())

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._has_begun.wait, 60)

    async def result(self) -> Seen:
        self._may_go_on.set()
        return await self._reading


async def change_keys(store: Store, _clock: VirtualClock) -> None:
    for token in range(0, NUMBER, 150):
        await store.set(token, {"a": b"0", "b": b"1"})
        await store.add(token + 1, {"c": b"2"})
        await store.replace(token + 2, {"d": b"3"})
        await store.remove(token + 3, ["a"])
        await store.change(token + 4, {"a": b"4"}, expected={"a": b"%d" % (token + 4)})


async def change_expiry(store: Store, _clock: VirtualClock) -> None:
    for token in range(0, NUMBER, 150):
        await store.expire(token, ExpirySettings(1), swaps={"a": (b"%d" % token, b"5")})
        await store.get(token + 1, ["a"])


async def end_and_create(store: Store, _clock: VirtualClock) -> None:
    for token in range(0, NUMBER, 150):
        await store.end(token)
        await store.end(token + 1)
        await store.create(token + 1, NEVER, {"new": b"1"})
        await store.create(NUMBER + token, NEVER, {"new": b"1"})


async def end_all_and_create(store: Store, _clock: VirtualClock) -> None:
    assert await store.end_all() == NUMBER
    for token in range(0, 2 * NUMBER, 150):
        await store.create(token, NEVER, {"new": b"1"})


async def expire(store: Store, clock: VirtualClock) -> None:
    clock.move(3600)
    await store.sweep()


@pytest.mark.parametrize("filled", OF_ONE_MOMENT, indirect=True)
@pytest.mark.parametrize("meanwhile", [change_keys, change_expiry, end_and_create, end_all_and_create, expire])
async def test_sessions_are_read_as_of_one_moment_whatever_happens_meanwhile(
    filled: Store, clock: VirtualClock, meanwhile: Callable[[Store, VirtualClock], Awaitable[None]]
) -> None:
    before = seen(await filled.export())
    reader = Reader(filled)
    await reader.begun()
    await meanwhile(filled, clock)
    assert await reader.result() == before
    assert len(before) == NUMBER
    assert seen(await filled.export()) != before


async def test_a_consumer_that_fails_is_heard_and_keeps_nothing(filled: Store) -> None:
    def fail(records: Iterable[SessionRecord]) -> None:
        for _ in records:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await filled.read_all(fail)
    assert len(await filled.read_all(seen)) == NUMBER


async def test_only_those_are_read_that_are_asked_for_each_once(filled: Store) -> None:
    read = await filled.read_all(lambda records: [record.token for record in records], [5, 3, 5, NUMBER + 1])
    assert read == [5, 3]


async def test_sessions_are_counted_while_all_are_read(filled: Store) -> None:
    reader = Reader(filled)
    await reader.begun()
    async with asyncio.timeout(60):
        assert await filled.totals() == (NUMBER, NUMBER)
        counted = await filled.statistics()
    assert (counted.sessions, counted.keys) == (NUMBER, NUMBER)
    assert len(await reader.result()) == NUMBER


async def test_a_consumer_whose_reader_was_cancelled_does_not_take_a_part_for_the_whole(filled: Store) -> None:
    has_begun, may_go_on, ended = threading.Event(), threading.Event(), threading.Event()
    read, took_all = 0, False

    def consume(records: Iterable[SessionRecord]) -> None:
        nonlocal read, took_all
        try:
            for _ in records:
                has_begun.set()
                assert may_go_on.wait(60)
                read += 1
            took_all = True
        finally:
            ended.set()

    reading = asyncio.ensure_future(filled.read_all(consume))
    await asyncio.to_thread(has_begun.wait, 60)
    reading.cancel()
    await asyncio.wait([reading])
    may_go_on.set()
    await asyncio.to_thread(ended.wait, 60)
    assert took_all is (read == NUMBER)
