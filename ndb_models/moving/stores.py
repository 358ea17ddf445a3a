"""A store in a file, or on a Redis, as a place to copy from and to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.moving.endpoints import Keys, Kinds, Lacking, Source, Target
from ndb_models.stores.contract import SHARED, SessionRecord, Store
from ndb_models.stores.redis import redis_store
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.stores.sqlite.options import parse_sqlite_uri
from ndb_models.types import SessionToken

_SESSIONS_TOGETHER: Final = 256
_KEYS_TOGETHER: Final = 256
_NO_PERSIST_PATH: Final = "persist_path means nothing here; a data set is at 'snapshot:///DIR?sessions=NAME'"


class StorePlace(Source, Target):
    """A store. Closing the place closes the store.

    Args:
        store: the store, open.
        tokens: yields the tokens of its sessions in parts.
        most_sessions: see `Source.most_sessions`; None if that is not known.
    """

    kinds: Kinds = Kinds.KEYS | Kinds.SESSIONS
    refusal: str = ""

    def __init__(
        self,
        store: Store,
        tokens: Callable[[], AsyncIterator[Sequence[SessionToken]]],
        most_sessions: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._most_sessions = most_sessions

    async def keys(self) -> AsyncIterator[Keys]:
        names = await self._store.names(SHARED)
        for start in range(0, len(names), _KEYS_TOGETHER):
            yield await self._store.get(SHARED, names[start : start + _KEYS_TOGETHER])

    async def sessions(self, lacking: Lacking) -> AsyncIterator[Sequence[SessionRecord]]:
        async for tokens in self._tokens():
            for start in range(0, len(tokens), _SESSIONS_TOGETHER):
                wanted = await lacking(tokens[start : start + _SESSIONS_TOGETHER])
                if wanted:
                    yield await self._store.export(wanted)

    async def most_sessions(self) -> int | None:
        return None if self._most_sessions is None else await self._most_sessions()

    async def put_keys(self, keys: Keys) -> int:
        there = await self._store.contains(SHARED, keys)
        await self._store.add(SHARED, keys)
        return len(keys) - len(there)

    async def lacking(self, tokens: Sequence[SessionToken]) -> Sequence[SessionToken]:
        there = {*await self._store.exist(tokens)}
        return [token for token in tokens if token not in there]

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

    async def tokens() -> AsyncIterator[Sequence[SessionToken]]:
        after = None
        while some := await store.tokens(after, _SESSIONS_TOGETHER):
            yield some
            after = some[-1]

    return StorePlace(store, tokens)


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
    return StorePlace(store, store.listed_tokens, store.most_sessions)
