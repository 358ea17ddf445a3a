"""The store in memory for several threads: each verb is one step for all of them.

All verbs hold the store's lock. Reading verbs do so too, since a read may extend a session.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from ndb_models.stores.contract import (
    NO_KEYS,
    NO_SWAPS,
    ExpirySettings,
    ImmediateVerbs,
    Scope,
    SessionInfo,
    Store,
    Swaps,
)
from ndb_models.stores.memory import MemoryStore
from ndb_models.types import Clock, SessionToken


class SharedMemoryStore(MemoryStore, Store):
    """Keeps all data in this process, for any number of threads, each with an event loop of its own."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=clock)
        # Reentrant: some verbs call others.
        self._lock = threading.RLock()
        # Verbs that go through all sessions hold it for one turn at a time.
        self._guard = self._lock

    @property
    def immediate(self) -> ImmediateVerbs | None:
        """This store. None for a subclass, since its verbs may do more."""
        return self if type(self) is SharedMemoryStore else None

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        with self._lock:
            await super().set(scope, keys)

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        with self._lock:
            await super().add(scope, keys)

    def get_now(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Do the same as `get`."""
        with self._lock:
            return super().get_now(scope, names)

    async def peek(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        with self._lock:
            return await super().peek(scope, names)

    async def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        with self._lock:
            return await super().expire(token, expiry, restart=restart, swaps=swaps)

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        with self._lock:
            return await super().get_all(scope)

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        with self._lock:
            await super().remove(scope, names)

    async def swap(self, scope: Scope, name: str, old: bytes, new: bytes) -> bool:
        with self._lock:
            return await super().swap(scope, name, old, new)

    async def count(self, scope: Scope) -> int:
        with self._lock:
            return await super().count(scope)

    async def names(self, scope: Scope, most: int | None = None) -> list[str]:
        with self._lock:
            return await super().names(scope, most)

    async def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        with self._lock:
            return await super().contains(scope, names)

    def create_now(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        """Do the same as `create`."""
        with self._lock:
            return super().create_now(token, expiry, keys)

    async def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        with self._lock:
            return await super().exist(tokens)

    async def info(self, token: SessionToken) -> SessionInfo:
        with self._lock:
            return await super().info(token)
