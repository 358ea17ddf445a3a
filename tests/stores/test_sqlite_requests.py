"""How requests reach the threads of a file, and how many keys they read."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from ndb_models.stores.contract import NEVER, SHARED, Scope, TooLargeError
from ndb_models.stores.sqlite import SqliteStore
from tests.stores.conftest import TOKEN

MANY = [f"key{number}" for number in range(150)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def written(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT value FROM kv").fetchall() == [(b"1",)]
    finally:
        connection.close()


async def test_a_request_is_carried_out_while_its_loop_is_held(path: Path) -> None:
    async with SqliteStore(path) as store:
        writing = asyncio.ensure_future(store.write(lambda verbs: verbs.set(SHARED, {"a": b"1"})))
        give_up = time.monotonic() + 60
        while not written(path) and time.monotonic() < give_up:
            time.sleep(0.001)  # noqa: ASYNC251 - the loop is held on purpose
        assert written(path)
        assert not writing.done()
        await writing


async def test_a_request_that_is_cancelled_while_it_waits_is_not_carried_out(path: Path) -> None:
    async with SqliteStore(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        first = asyncio.ensure_future(store.set(SHARED, {"a": b"1"}))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(store.set(SHARED, {"b": b"1"}))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        other.rollback()
        other.close()
        await first
        assert await store.get_all(SHARED) == {"a": b"1"}


async def test_requests_of_two_threads_are_all_answered(path: Path) -> None:
    async with SqliteStore(path) as store:

        async def write(first: int) -> None:
            for number in range(first, first + 200):
                await store.set(SHARED, {f"key{number}": b"1"})

        await asyncio.gather(*(asyncio.to_thread(asyncio.run, write(first)) for first in (0, 200)), write(400))
        assert await store.count(SHARED) == 600


@pytest.mark.parametrize("scope", [SHARED, TOKEN])
async def test_any_number_of_keys_is_read_in_the_order_of_the_names(path: Path, scope: Scope) -> None:
    async with SqliteStore(path) as store:
        await store.create(TOKEN, NEVER)
        await store.set(scope, {name: b'"%b"' % name.encode() for name in MANY if not name.endswith("7")})
        for count in (0, 1, 63, 64, 65, 128, 150):
            names = [*reversed(MANY[:count])]
            there = [name for name in names if not name.endswith("7")]
            found = await store.get(scope, names)
            assert [*found.items()] == [(name, b'"%b"' % name.encode()) for name in there]


@pytest.mark.parametrize("scope", [SHARED, TOKEN])
async def test_keys_that_are_too_large_together_are_refused(path: Path, scope: Scope) -> None:
    async with SqliteStore(path) as store:
        await store.create(TOKEN, NEVER)
        await store.set(scope, dict.fromkeys(MANY, b"1" * 100))
        assert len(await store.read(lambda verbs: verbs.get(scope, tuple(MANY), 20_000))) == 150
        with pytest.raises(TooLargeError):
            await store.read(lambda verbs: verbs.get(scope, tuple(MANY), 10_000))
        assert len(await store.read(lambda verbs: verbs.get(scope, ("key1", "key1"), 1))) == 1


@pytest.mark.parametrize("count", [1, 64, 65, 150])
async def test_a_change_may_expect_any_number_of_values(path: Path, count: int) -> None:
    async with SqliteStore(path) as store:
        await store.create(TOKEN, NEVER, dict.fromkeys(MANY, b"1"))
        expected = dict.fromkeys(MANY[:count], b"1")
        assert await store.change(TOKEN, {MANY[0]: b"2"}, (), expected)
        assert not await store.change(TOKEN, {MANY[0]: b"3"}, (), expected)
        assert not await store.change(TOKEN, {MANY[0]: b"3"}, (), {**expected, MANY[0]: b"2", MANY[count - 1]: b"4"})
        assert await store.get(TOKEN, [MANY[0]]) == {MANY[0]: b"2"}
