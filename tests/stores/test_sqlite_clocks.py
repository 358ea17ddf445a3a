"""A clock that was wrong and is set right: no session of a file has more time to run than its duration."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ndb_models.stores.contract import SHARED, ExpirySettings, UnknownSessionError
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
from tests.conftest import VirtualClock
from tests.stores.conftest import TOKEN

HOUR = 3600.0
TEN_YEARS = 10 * 365 * 86400.0

ENDING = ExpirySettings(60, delete_session=True)
STAYING = ExpirySettings(60, delete_session=False)
BY_READING = ExpirySettings(60, delete_session=True, extend_on_get=True)
BY_WRITING = ExpirySettings(60, delete_session=True, extend_on_set_add=True)
EVERY_KIND = [ENDING, STAYING, BY_READING, BY_WRITING]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture(params=[HOUR, TEN_YEARS], ids=["an hour", "ten years"])
def wrong_by(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture
def clock() -> VirtualClock:
    clock = VirtualClock()
    clock.now = 2_000_000_000.0
    return clock


def rows(path: Path) -> list[tuple[float, float]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT deadline, due FROM session ORDER BY tkn").fetchall()
    finally:
        connection.close()


TOUCHES: dict[str, Callable[[SqliteStore], Awaitable[object]]] = {
    "get": lambda store: store.get(TOKEN, ["a"]),
    "get_all": lambda store: store.get_all(TOKEN),
    "info": lambda store: store.info(TOKEN),
    "exist": lambda store: store.exist([TOKEN]),
    "names": lambda store: store.names(TOKEN),
    "set": lambda store: store.set(TOKEN, {"a": b"2"}),
    "add": lambda store: store.add(TOKEN, {"b": b"2"}),
    "remove": lambda store: store.remove(TOKEN, ["a"]),
    "change": lambda store: store.change(TOKEN, {"a": b"2"}, expected={"a": b"1"}),
    "replace": lambda store: store.replace(TOKEN, {}),
    "create": lambda store: store.create(TOKEN, ENDING),
    "export": lambda store: store.export([TOKEN]),
}


@pytest.mark.parametrize("expiry", EVERY_KIND)
@pytest.mark.parametrize("touch", TOUCHES)
async def test_who_touches_a_session_of_a_clock_that_was_ahead_gives_it_its_duration(
    path: Path, clock: VirtualClock, wrong_by: float, expiry: ExpirySettings, touch: str
) -> None:
    async with SqliteStore(path, clock=clock) as store:
        clock.move(wrong_by)
        await store.create(TOKEN, expiry, {"a": b"1"})
        clock.move(-wrong_by)
        await TOUCHES[touch](store)
        assert (await store.info(TOKEN)).remaining == 60
    ((deadline, due),) = rows(path)
    assert due <= deadline == clock.now + 60


@pytest.mark.slow
@pytest.mark.parametrize("expiry", EVERY_KIND)
@pytest.mark.parametrize("opened", ["all the time", "anew"])
async def test_a_sweep_finds_sessions_of_a_clock_that_was_ahead(
    path: Path, clock: VirtualClock, wrong_by: float, expiry: ExpirySettings, opened: str
) -> None:
    store = SqliteStore(path, clock=clock)
    await store.open()
    await store.sweep()
    clock.move(wrong_by)
    for token in range(300):
        await store.create(token, expiry)
        await store.create(2**64 - 1 - token, ExpirySettings(2**64 - 1))
    clock.move(-wrong_by)
    if opened == "anew":
        await store.aclose()
        store = SqliteStore(path, clock=clock)
        await store.open()
    await store.sweep()
    found = [row for row in rows(path) if row[0] < 2**60]
    assert len(found) == 300
    assert all(due <= deadline == clock.now + 60 for deadline, due in found)
    clock.move(60)
    await store.sweep()
    await store.aclose()
    if expiry.delete_session:
        assert all(deadline > 2**60 for deadline, _ in rows(path))


async def test_creations_find_them_where_nobody_sweeps(path: Path, clock: VirtualClock, wrong_by: float) -> None:
    clock.move(wrong_by)
    async with SqliteStore(path, clock=clock) as store:
        for token in range(100):
            await store.create(token, ENDING)
    clock.move(-wrong_by)
    async with SqliteStore(path, clock=clock) as store:
        for token in range(1000, 1100):
            await store.create(token, ENDING)
        assert all(due <= deadline <= clock.now + 60 for deadline, due in rows(path))


async def test_sessions_of_another_process_are_found_within_an_hour(path: Path, clock: VirtualClock) -> None:
    """This process has seen nothing of a wrong clock: it looks through the rows once in a while."""
    ahead = VirtualClock()
    ahead.now = clock.now + TEN_YEARS
    async with SqliteStore(path, clock=clock) as store:
        await store.sweep()
        async with SqliteStore(path, clock=ahead) as other:
            await other.create(TOKEN, ENDING)
        clock.move(HOUR)
        await store.sweep()
        assert rows(path) == [(clock.now + 60, clock.now + 60)]


async def test_an_extension_of_a_clock_that_was_ahead_is_no_longer_than_the_duration(
    path: Path, clock: VirtualClock, wrong_by: float
) -> None:
    async with SqliteStore(path, SqliteOptions(extension_delay=60), clock=clock) as store:
        await store.create(TOKEN, ExpirySettings(2 * 10**9, delete_session=True, extend_on_get=True), {"a": b"1"})
        clock.move(wrong_by)
        await store.get(TOKEN, ["a"])
        clock.move(-wrong_by)
        assert (await store.info(TOKEN)).remaining == 2 * 10**9
        await store.set(SHARED, {"a": b"1"})
        ((deadline, due),) = rows(path)
        assert due <= deadline == clock.now + 2 * 10**9


async def test_a_write_that_extends_after_the_clock_was_set_back_brings_the_look_forward(
    path: Path, clock: VirtualClock, wrong_by: float
) -> None:
    async with SqliteStore(path, clock=clock) as store:
        clock.move(wrong_by)
        await store.create(TOKEN, BY_WRITING)
        clock.move(-wrong_by)
        await store.set(TOKEN, {"a": b"1"})
        assert rows(path) == [(clock.now + 60, clock.now + 60)]


@pytest.mark.parametrize("expiry", EVERY_KIND)
async def test_a_clock_that_was_behind_ends_what_it_had_started_and_nothing_later(
    path: Path, clock: VirtualClock, wrong_by: float, expiry: ExpirySettings
) -> None:
    async with SqliteStore(path, clock=clock) as store:
        clock.move(-wrong_by)
        await store.create(TOKEN, expiry, {"a": b"1"})
        clock.move(wrong_by)
        if expiry.delete_session:
            with pytest.raises(UnknownSessionError):
                await store.get(TOKEN, ["a"])
        else:
            assert await store.get(TOKEN, ["a"]) == {}
        await store.create(1, expiry, {"a": b"1"})
        await store.sweep()
        assert await store.get_all(1) == {"a": b"1"}
        assert (await store.info(1)).remaining == 60
        assert all(due <= deadline <= clock.now + 60 for deadline, due in rows(path))


async def test_a_row_that_is_due_after_its_deadline_is_put_right_by_a_sweep(path: Path, clock: VirtualClock) -> None:
    async with SqliteStore(path, clock=clock) as store:
        await store.create(TOKEN, ENDING)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE session SET due = due + 1e8")
    connection.commit()
    connection.close()
    async with SqliteStore(path, clock=clock) as store:
        await store.sweep()
        assert rows(path) == [(clock.now + 60, clock.now + 60)]
