"""The transports to an engine in this process, without frames or copies. The place that joins client and engine."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from ndb_models import forks
from ndb_models.client.transport import Transport
from ndb_models.client.uri import MemoryUri
from ndb_models.engine import Engine
from ndb_models.engine.context import IN_PROCESS, Body
from ndb_models.errors import ConnectError, InvalidArgumentError
from ndb_models.protocol.exchange import Exchange, orphaned
from ndb_models.protocol.prepared import Prepared
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.shared import SharedMemoryStore
from ndb_models.uncopyable import Uncopyable


class _NamedEngine(NamedTuple):
    """A named engine, and the process that it belongs to. It lives as long as that process."""

    engine: Engine
    persist_path: str | None
    forks: int


_named: Final[dict[str, _NamedEngine]] = {}
# Several threads may open clients.
_lock = threading.Lock()


def _renew_lock() -> None:
    """Start with a free lock after a fork: a thread of the parent may have held it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class InProcessTransport(Uncopyable, Transport):
    """Hands requests to an engine. Closing the transport leaves the engine to its other users."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.perform: Callable[[Prepared], Body | Awaitable[Body]] = engine.perform

    def request(self, exchange: Exchange) -> Awaitable[bytes]:
        return self._engine.handle(exchange.frame)

    async def aclose(self) -> None:
        """Let go of the engine. An unnamed engine in memory is dropped with its data."""

    def abandon(self) -> bool:
        return False


class WaitingTransport(InProcessTransport):
    """Hands requests to an engine whose store is waited for: a caller may be cancelled meanwhile."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.perform: Callable[[Prepared], dict[str, Any] | Awaitable[dict[str, Any]]] = self._perform

    async def request(self, exchange: Exchange) -> bytes:
        """See `Transport.request`. Raises `StoreError` if the store fails."""
        if exchange.on_orphan is None:
            return await self._engine.handle(exchange.frame)
        answering = asyncio.ensure_future(self._engine.handle(exchange.frame))
        try:
            return await asyncio.shield(answering)
        except asyncio.CancelledError:
            answering.add_done_callback(lambda done: _orphan(exchange, done))
            raise

    def _perform(self, prepared: Prepared) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """Work as `Transport.perform`. Raises `StoreError` if the store fails."""
        if prepared.on_orphan is None:
            return self._engine.perform(prepared)
        return self._perform_as_frame(prepared)

    async def _perform_as_frame(self, prepared: Prepared) -> dict[str, Any]:
        return prepared.read(await self.request(prepared.to_frame()))


def _orphan(exchange: Exchange, done: asyncio.Future[bytes]) -> None:
    if not done.cancelled() and done.exception() is None:
        orphaned(exchange, done.result())


def open_memory(uri: MemoryUri) -> InProcessTransport:
    """Return a transport to the engine of a URI: a new engine, or the one of that name in this process.

    Raises:
        ConnectError: the persist path is not a directory, or the named engine is open with another persist path.
        InvalidArgumentError: the engine of this name belongs to the process from which this one was forked.
    """
    if not uri.name:
        return InProcessTransport(_new_engine(uri))
    with _lock:
        named = _named.get(uri.name)
        if named is None:
            named = _named[uri.name] = _NamedEngine(_new_engine(uri), uri.persist_path, forks.count)
    if named.forks != forks.count:
        raise InvalidArgumentError(
            f"{uri.shown} is in the memory of the process that this one was forked from; to share sessions between"
            " processes use sqlite:///PATH or a server, or else another name"
        )
    if uri.persist_path not in (None, named.persist_path):
        raise ConnectError(uri.shown, "it is open with another persist_path")
    return InProcessTransport(named.engine)


def forget_memory(name: str) -> None:
    """Free a named store. Clients that have it open keep it; a client that is opened later gets a new one."""
    with _lock:
        _named.pop(name, None)


def _new_engine(uri: MemoryUri) -> Engine:
    if uri.persist_path is not None and not os.path.isdir(uri.persist_path):  # noqa: PTH112 - Path raises
        raise ConnectError(uri.shown, "persist_path is not a directory")
    store = SharedMemoryStore() if uri.name else MemoryStore()
    path = None if uri.persist_path is None else Path(uri.persist_path)
    return Engine(store, persist_path=path, limits=IN_PROCESS)
