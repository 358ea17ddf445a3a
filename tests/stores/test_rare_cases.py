"""What a store does when a token is taken, an answer is too large, others hold the file, and it is left meanwhile."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models.errors import StoreError
from ndb_models.stores.contract import SHARED, ExpirySettings, Scope, Store, TooLargeError
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
from ndb_models.stores.sqlite.backup import BackupStoppedError, copy_file
from ndb_models.stores.sqlite.options import parse_sqlite_uri
from ndb_models.stores.sqlite.schema import prepare
from tests.conftest import VirtualClock
from tests.stores.conftest import STORES, TOKEN, also_slowly

HOUR = ExpirySettings(3600, delete_session=True, extend_on_get=True)


@pytest.fixture(params=also_slowly(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path, clock) as store:
        yield store


async def test_a_drawn_token_that_is_taken_or_means_none_is_drawn_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [number.to_bytes(8) for number in (9, 7, 7, 5)]
    await store.create(5, HOUR)
    monkeypatch.setattr(secrets, "token_bytes", lambda _size: drawn.pop())
    assert await store.write(lambda verbs: verbs.new(HOUR)) == 7
    assert await store.write(lambda verbs: verbs.new(HOUR)) == 9
    assert sorted(record.token for record in await store.export()) == [5, 7, 9]


@pytest.mark.parametrize("scope", [SHARED, TOKEN])
@pytest.mark.parametrize("count", [2, 700])
async def test_several_keys_that_are_too_large_together_are_refused_and_one_never_is(
    store: Store, scope: Scope, count: int
) -> None:
    await store.create(TOKEN, HOUR)
    keys = {f"key{number}": b"%d" % 10**6 for number in range(count)}
    await store.set(scope, keys)
    size = sum(len(name) + len(value) for name, value in keys.items())
    names = (*keys, "missing")
    read = await store.read(lambda verbs: verbs.get(scope, names, size))
    assert read.split() == keys
    with pytest.raises(TooLargeError, match="larger together"):
        await store.read(lambda verbs: verbs.get(scope, names, size - 1))
    only = await store.read(lambda verbs: verbs.get(scope, ("key1", *("missing",) * count), 1))
    assert only.split() == {"key1": keys["key1"]}


async def test_sessions_with_settings_of_their_own_each_keep_them(store: Store) -> None:
    count = 1500
    await asyncio.gather(*(store.create(token, ExpirySettings(token + 1)) for token in range(1, count)))
    assert {record.token: record.expiry.duration for record in await store.export()} == {
        token: token + 1 for token in range(1, count)
    }


async def test_work_that_was_asked_for_before_another_thread_left_is_carried_out(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    async with SqliteStore(path) as store:
        setting = asyncio.ensure_future(store.set(SHARED, {"a": b"1"}))
        await asyncio.sleep(0)
        late = store.write(lambda verbs: verbs.set(SHARED, {"b": b"1"}))
        leaving = threading.Thread(target=store.leave)
        leaving.start()
        leaving.join()
        with pytest.raises(StoreError, match="not open"):
            await store.write(lambda verbs: verbs.set(SHARED, {"c": b"1"}))
        await asyncio.gather(setting, late)
    async with SqliteStore(path) as store:
        assert await store.get_all(SHARED) == {"a": b"1", "b": b"1"}


async def test_closing_does_not_wait_longer_than_the_store_may_for_extensions_that_others_keep_from_being_stored(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "sessions.db"
    options = SqliteOptions(busy_timeout=0.05, extension_delay=60)
    async with SqliteStore(path, options, clock=clock) as store:
        await store.create(TOKEN, HOUR, {"a": b"1"})
        clock.move(1800)
        assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
    other.close()
    async with SqliteStore(path, options, clock=clock) as store:
        clock.move(1799)
        assert await store.get(TOKEN, ["a"]) == {"a": b"1"}  # by its stored deadline


def test_a_database_that_cannot_have_a_wal_is_refused() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(StoreError, match="file system cannot be used"):
        prepare(connection, "sessions.db")
    connection.close()


def test_an_sqlite_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 9))
    connection = sqlite3.connect(":memory:")
    with pytest.raises(StoreError, match=r"3\.37 or later is needed"):
        prepare(connection, "sessions.db")
    connection.close()


async def test_a_backup_waits_for_one_that_has_the_file_for_itself(tmp_path: Path) -> None:
    path, target = tmp_path / "sessions.db", tmp_path / "copy.db"
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"a": b"1"})
    target.touch()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    told: list[int] = []
    uri = parse_sqlite_uri(f"sqlite:///{path}")
    copying = asyncio.create_task(asyncio.to_thread(copy_file, uri, target, lambda done, _: told.append(done), bool))
    await asyncio.sleep(0.05)
    assert not told
    other.close()
    await copying
    async with SqliteStore(target) as copy:
        assert await copy.get_all(SHARED) == {"a": b"1"}


async def test_a_backup_can_be_stopped_while_its_copy_is_checked(tmp_path: Path) -> None:
    path, target = tmp_path / "sessions.db", tmp_path / "copy.db"
    async with SqliteStore(path) as store:
        await store.set(SHARED, {f"key{number}": b"1" for number in range(30_000)})
    target.touch()
    copied = False

    def report(done: int, total: int) -> None:
        nonlocal copied
        copied = done == total

    looks = 0

    def stopped() -> bool:
        nonlocal looks
        looks += copied
        return looks > 1  # not the one that belongs to the last pages

    with pytest.raises(BackupStoppedError):
        copy_file(parse_sqlite_uri(f"sqlite:///{path}"), target, report, stopped)
