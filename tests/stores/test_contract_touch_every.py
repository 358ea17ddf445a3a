"""A session is extended at most once in `touch_every` seconds, on every store, and ends when it should."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ndb_models.stores.contract import SHARED, ExpirySettings, Store, UnknownSessionError
from ndb_models.stores.expiry import deadline_after_use
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
from tests.conftest import VirtualClock
from tests.stores.conftest import TOKEN
from tests.stores.verbs import GETTING, WRITING, Verb

IDLE, EVERY = 300, 60
BOTH = ExpirySettings(IDLE, True, True, True, EVERY)
EACH_USE = BOTH._replace(touch_every=0)
A_MOMENT = 1 / 1024
USES: dict[str, Verb] = {**GETTING, **WRITING, "change": lambda store, scope: store.change(scope, {"a": b"2"})}

Use = Callable[[], Awaitable[object]]


@pytest.fixture(params=USES)
async def use(request: pytest.FixtureRequest, store: Store) -> Use:
    """A use of the session `TOKEN`, and what a file stores behind it."""
    assert await store.create(TOKEN, BOTH, {"a": b"1"})

    async def used() -> None:
        await USES[request.param](store, TOKEN)
        await store.set(SHARED, {"a": b"1"})

    return used


async def remaining(store: Store) -> float:
    left = (await store.info(TOKEN)).remaining
    assert left is not None
    return left


async def test_a_use_extends_only_after_touch_every(store: Store, clock: VirtualClock, use: Use) -> None:
    for _ in range(3):
        clock.move(EVERY - 1)
        await use()
        assert await remaining(store) == IDLE - EVERY + 1
        clock.move(1)
        await use()
        assert await remaining(store) == IDLE


async def test_a_session_that_is_used_every_30_seconds_never_ends(store: Store, clock: VirtualClock, use: Use) -> None:
    for _ in range(100):
        clock.move(30)
        await use()
    assert await store.exist([TOKEN]) == [TOKEN]


@pytest.mark.parametrize("used_at", [0, 1, EVERY - 1, EVERY, EVERY + 1])
async def test_an_unused_session_ends_idle_after_its_last_extension(
    store: Store, clock: VirtualClock, use: Use, used_at: int
) -> None:
    clock.move(used_at)
    await use()
    extended_at = used_at if used_at >= EVERY else 0
    clock.move(extended_at + IDLE - used_at - A_MOMENT)
    assert await store.exist([TOKEN]) == [TOKEN]
    clock.move(A_MOMENT)
    assert await store.exist([TOKEN]) == []
    with pytest.raises(UnknownSessionError):
        await use()


async def test_a_clock_that_was_set_back_lengthens_no_life(store: Store, clock: VirtualClock, use: Use) -> None:
    clock.move(-10_000)
    await use()
    assert await remaining(store) == IDLE
    clock.move(IDLE)
    assert await store.exist([TOKEN]) == []


async def test_a_clock_that_was_set_forward_ends_it(store: Store, clock: VirtualClock, use: Use) -> None:
    clock.move(EVERY)
    await use()
    clock.move(10_000)
    assert await store.exist([TOKEN]) == []


async def test_the_settings_can_be_changed_and_are_told(store: Store, clock: VirtualClock) -> None:
    assert await store.create(TOKEN, EACH_USE, {"a": b"1"})
    assert (await store.info(TOKEN)).expiry == EACH_USE
    clock.move(1)
    await store.get(TOKEN, ["a"])
    assert await remaining(store) == IDLE
    await store.expire(TOKEN, BOTH, restart=False)
    assert (await store.info(TOKEN)).expiry == BOTH
    clock.move(1)
    await store.get(TOKEN, ["a"])
    assert await remaining(store) == IDLE - 1
    (record,) = await store.export([TOKEN])
    assert record.expiry == BOTH


def test_a_touch_longer_than_the_duration_never_extends() -> None:
    forever = ExpirySettings(IDLE, True, True, True, 2**64 - 1)
    assert deadline_after_use(forever, True, 1000.0, 900.0) == 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def version_of_data(watching: sqlite3.Connection) -> int:
    """Return a number that changes with each commit of another connection that wrote anything."""
    return int(watching.execute("PRAGMA data_version").fetchone()[0])


async def settled(store: SqliteStore) -> None:
    """Wait until the extensions that were due by now are stored."""
    await store.write(lambda verbs: verbs.exist([]))


async def test_ten_thousand_reads_within_a_minute_write_a_file_once(path: Path, clock: VirtualClock) -> None:
    async with SqliteStore(path, SqliteOptions(extension_delay=0), clock=clock) as store:
        assert await store.create(TOKEN, BOTH, {"a": b"1"})
        with sqlite3.connect(path) as watching:
            seen, before = 0, version_of_data(watching)
            for number in range(10_000):
                clock.now = 1000 + EVERY + number * EVERY / 10_001
                await store.get(TOKEN, ["a"])
                if number % 100 == 0:
                    await settled(store)
                    seen += version_of_data(watching) != before
                    before = version_of_data(watching)
        watching.close()
    assert seen == 1


async def test_two_processes_extend_a_session_once_between_them(path: Path, clock: VirtualClock) -> None:
    late = SqliteOptions(extension_delay=60)
    async with SqliteStore(path, late, clock=clock) as store, SqliteStore(path, late, clock=clock) as other:
        assert await store.create(TOKEN, BOTH, {"a": b"1"})
        clock.move(EVERY)
        await store.get(TOKEN, ["a"])
        clock.move(1)
        await other.get(TOKEN, ["a"])
        await store.set(TOKEN, {})
        await other.set(TOKEN, {})
        assert await remaining(store) == await remaining(other) == IDLE - 1


async def test_reads_within_a_minute_leave_memory_as_it_is(clock: VirtualClock) -> None:
    store = MemoryStore(clock=clock)
    assert await store.create(TOKEN, BOTH, {"a": b"1"})
    lasts = set[float]()
    for number in range(10_000):
        clock.now = 1000 + EVERY + number * EVERY / 10_001
        await store.get(TOKEN, ["a"])
        lasts.add(round(clock.now + await remaining(store), 6))
    assert lasts == {1000 + EVERY + IDLE}


async def test_a_file_that_does_not_use_it_is_as_releases_before_wrote_it(path: Path, clock: VirtualClock) -> None:
    async with SqliteStore(path, clock=clock) as store:
        await store.create(1, EACH_USE)
        await store.create(2, ExpirySettings(IDLE, True, extend_on_set_add=True))
        await store.create(3, BOTH)
    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT extend_on_set_add, extend_on_get FROM session ORDER BY tkn").fetchall()
        assert file.execute("PRAGMA user_version").fetchone() == (1,)
    file.close()
    assert rows == [(1, 1), (1, 0), (EVERY + 1, EVERY + 1)]


@pytest.mark.parametrize("duration", [0, 60])
async def test_no_touch_every_is_kept_where_no_use_extends(store: Store, duration: int) -> None:
    await store.create(TOKEN, ExpirySettings(duration, touch_every=30))
    assert (await store.info(TOKEN)).expiry == ExpirySettings(duration)
    await store.expire(TOKEN, ExpirySettings(60, touch_every=30))
    assert (await store.info(TOKEN)).expiry == ExpirySettings(60)
