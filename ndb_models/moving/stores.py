"""A store in a file, or on a Redis, as a place to copy from and to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.moving.places import Keys, Kinds, Source, Target
from ndb_models.stores.contract import SHARED, SessionRecord, Store
from ndb_models.stores.redis import redis_store
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.stores.sqlite.options import parse_sqlite_uri

_SESSIONS_TOGETHER: Final = 256
_KEYS_TOGETHER: Final = 256
_NO_PERSIST_PATH: Final = "persist_path means nothing here; a data set is at 'snapshot:///DIR?sessions=NAME'"


class StorePlace(Source, Target):
    """A store. Closing the place closes the store.

    Args:
        store: the store, open.
        sessions: yields its sessions in parts.
    """

    kinds: Kinds = Kinds.KEYS | Kinds.SESSIONS
    refusal: str = ""

    def __init__(self, store: Store, sessions: Callable[[], AsyncIterator[Sequence[SessionRecord]]]) -> None:
        self._store = store
        self._sessions = sessions

    async def keys(self) -> AsyncIterator[Keys]:
        names = await self._store.names(SHARED)
        for start in range(0, len(names), _KEYS_TOGETHER):
            yield await self._store.get(SHARED, names[start : start + _KEYS_TOGETHER])

    def sessions(self) -> AsyncIterator[Sequence[SessionRecord]]:
        return self._sessions()

    async def put_keys(self, keys: Keys) -> int:
        there = await self._store.contains(SHARED, keys)
        await self._store.add(SHARED, keys)
        return len(keys) - len(there)

    async def put_sessions(self, records: Sequence[SessionRecord]) -> int:
        creations = (self._store.create(record.token, record.expiry, record.keys) for record in records)
        return sum(await asyncio.gather(*creations))

    async def finish(self, kinds: Kinds) -> None:
        return

    async def aclose(self) -> None:
        await self._store.aclose()


async def open_sqlite(uri: str, *, is_source: bool) -> StorePlace:
    """Return a store in a file as a place. The file of a source must exist.

    Raises:
        InvalidArgumentError: the URI names no store, or the file of a source does not exist.
        StoreError: it cannot be opened.
    """
    parsed = parse_sqlite_uri(uri)
    if parsed.persist_path is not None:
        raise InvalidArgumentError(_NO_PERSIST_PATH)
    if is_source and not await asyncio.to_thread(Path(parsed.path).exists):
        raise InvalidArgumentError(f"there is no file {parsed.path}")
    store = SqliteStore(parsed.path, parsed.options)
    try:
        await store.open()
    except BaseException:
        store.leave()
        raise

    async def sessions() -> AsyncIterator[Sequence[SessionRecord]]:
        after = None
        while tokens := await store.tokens(after, _SESSIONS_TOGETHER):
            yield await store.export(tokens)
            after = tokens[-1]

    return StorePlace(store, sessions)


async def open_redis(uri: str) -> StorePlace:
    """Return a store on a Redis or Valkey as a place.

    Raises:
        InvalidArgumentError: the URI names no store.
        StoreError: it cannot be opened.
    """
    parsed = parse_redis_uri(uri)
    if parsed.persist_path is not None:
        raise InvalidArgumentError(_NO_PERSIST_PATH)
    store = redis_store(parsed)
    await store.open()
    return StorePlace(store, store.records)
