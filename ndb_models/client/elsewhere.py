"""The transport to an engine in this process that stores on a Redis or Valkey, where other processes store too."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ndb_models.client.in_process import WaitingTransport
from ndb_models.engine import Engine
from ndb_models.engine.context import IN_PROCESS
from ndb_models.errors import ConnectError, StoreError
from ndb_models.stores.redis import redis_store
from ndb_models.stores.redis.options import parse_redis_uri

if TYPE_CHECKING:
    from ndb_models.stores.redis.store import RedisStore


class RedisTransport(WaitingTransport):
    """Hands requests to an engine of its own, with connections of its own. It belongs to one event loop."""

    prefers_looks: bool = True

    def __init__(self, store: RedisStore, persist_path: str | None) -> None:
        path = None if persist_path is None else Path(persist_path)
        super().__init__(Engine(store, persist_path=path, raise_store_errors=True, limits=IN_PROCESS))
        self._store = store

    async def aclose(self) -> None:
        """Close the connections, after the answers that are due."""
        await self._store.aclose()

    def abandon(self) -> bool:
        """Let go without waiting; see `Transport.abandon`."""
        return self._store.leave()


def check_elsewhere(text: str) -> None:
    """Check the URI of a Redis or Valkey without connecting to it.

    Raises:
        InvalidArgumentError: the URI is malformed, or has unknown options.
    """
    parse_redis_uri(text)


async def open_elsewhere(text: str) -> RedisTransport:
    """Return a transport to an engine that stores on the servers of a URI.

    Raises:
        InvalidArgumentError: the URI is malformed, or has unknown options.
        ConnectError: the servers cannot be reached, or cannot be used; or the persist path is not a directory.
    """
    uri = parse_redis_uri(text)
    if uri.persist_path is not None and not await asyncio.to_thread(os.path.isdir, uri.persist_path):
        raise ConnectError(uri.shown, "persist_path is not a directory")
    store = redis_store(uri)
    try:
        await store.open()
    except StoreError as exc:
        raise ConnectError(exc.store, exc.reason) from exc
    return RedisTransport(store, uri.persist_path)
