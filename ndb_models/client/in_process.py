"""The way to an engine in this process: no socket, no copy. The one place that joins client and engine."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

from ndb_models.client.transport import Immediate, Transport
from ndb_models.client.uri import MemoryUri
from ndb_models.engine import Engine
from ndb_models.errors import ConnectError
from ndb_models.stores.memory import MemoryStore
from ndb_models.wire.exchange import Exchange
from ndb_models.wire.prepared import Prepared

# The engines that have a name, with their persist paths. They live as long as the process.
_named: dict[str, tuple[Engine, str | None]] = {}


class InProcessTransport(Transport):
    """Hands frames to an engine. Closing it leaves the engine to those who share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def immediate(self) -> Immediate | None:
        """How to ask the engine without waiting."""
        return self._engine.immediate

    async def request(self, exchange: Exchange) -> bytes:
        return await self._engine.handle(exchange.frame)

    def perform(self, prepared: Prepared) -> Awaitable[Mapping[str, Any]]:
        return self._engine.perform(prepared)

    async def aclose(self) -> None:
        """Let go of the engine; one that nobody shares is forgotten with its data."""

    def abandon(self) -> bool:
        return False


def open_memory(uri: MemoryUri) -> InProcessTransport:
    """Return a way to the engine that the URI names: a new one, or the one of that name in this process.

    Raises:
        ConnectError: the persist path is not a directory.
    """
    if uri.name in _named:
        engine, persist_path = _named[uri.name]
        if uri.persist_path not in (None, persist_path):
            raise ConnectError(uri.shown, "it is open with another persist_path")
        return InProcessTransport(engine)
    if uri.persist_path is not None and not Path(uri.persist_path).is_dir():
        raise ConnectError(uri.shown, "persist_path is not a directory")
    engine = Engine(MemoryStore(), persist_path=Path(uri.persist_path) if uri.persist_path is not None else None)
    if uri.name:
        _named[uri.name] = engine, uri.persist_path
    return InProcessTransport(engine)
