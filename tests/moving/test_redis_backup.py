"""A backup of a store on a Redis: one private, checked file with every session, there whole or not at all."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from ndb_models.errors import InvalidArgumentError, StoreError
from ndb_models.moving import backup, copy
from ndb_models.stores.contract import SHARED, ExpirySettings
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.redis.store import RedisStore
from ndb_models.stores.sqlite import SqliteStore
from tests.redis_uris import redis_uri

SETTINGS = ExpirySettings(3600, delete_session=True, extend_on_get=True)
KEYS = {f"key{number}": b"[%d ]" % number for number in range(300)}
SESSIONS = {token: {"a": b"%d" % token} for token in range(1, 601)}


@pytest.fixture(params=["valkey", pytest.param("cluster", marks=pytest.mark.slow)])
async def store(request: pytest.FixtureRequest) -> str:
    """The URI of a store with sessions and keys."""
    uri = redis_uri(request.param)
    async with RedisStore(parse_redis_uri(uri)) as store:
        await store.set(SHARED, KEYS)
        await asyncio.gather(*(store.create(token, SETTINGS, keys) for token, keys in SESSIONS.items()))
    return uri


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "back ups"
    directory.mkdir()
    return directory / "back%up.db"


async def test_it_has_every_session_and_key_and_can_be_restored(store: str, target: Path) -> None:
    told: list[tuple[int, int]] = []
    size = await backup(store, target, report=lambda done, total: told.append((done, total)))
    assert [*target.parent.iterdir()] == [target]
    assert target.stat().st_size == size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(SESSIONS), len(SESSIONS))
    assert all(done <= total for done, total in told)
    restored = redis_uri()
    await copy(f"sqlite:///{str(target).replace('%', '%25')}", restored, report=lambda _copied: None)
    async with SqliteStore(target) as kept, RedisStore(parse_redis_uri(restored)) as again:
        for each in (kept, again):
            assert await each.get_all(SHARED) == KEYS
            records = await each.export()
            assert {record.token: dict(record.keys) for record in records} == SESSIONS
            assert {record.expiry for record in records} == {SETTINGS}


async def test_a_file_that_is_there_is_left_alone_unless_it_may_be_replaced(store: str, target: Path) -> None:
    target.write_text("precious")
    with pytest.raises(InvalidArgumentError, match="there already"):
        await backup(store, target)
    assert target.read_text() == "precious"
    await backup(store, target, overwrite=True)
    async with SqliteStore(target) as kept:
        assert await kept.get_all(SHARED) == KEYS
    assert [*target.parent.iterdir()] == [target]


async def test_what_fails_or_is_cancelled_leaves_nothing(store: str, target: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done:
            raise KeyError

    with pytest.raises(KeyError):
        await backup(store, target, report=stop)

    def cancel(_done: int, _total: int) -> None:
        going.cancel()

    going = asyncio.create_task(backup(store, target, report=cancel))
    await asyncio.wait([going])
    assert going.cancelled()
    with pytest.raises(StoreError, match=r"redis://127\.0\.0\.1:1"):
        await backup("redis://user:secret@127.0.0.1:1", target)
    assert [*target.parent.iterdir()] == []
