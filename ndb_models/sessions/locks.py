"""Locks of this process, one for each session: its tasks take turns, or they would make each other try again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from ndb_models.client import NdbClient
from ndb_models.types import SessionToken


class SessionLocks:
    """A lock for each session that is in use, by client and token."""

    def __init__(self, name: str) -> None:
        self._locks: WeakKeyDictionary[NdbClient, WeakValueDictionary[SessionToken, asyncio.Lock]] = WeakKeyDictionary()
        self._held: ContextVar[frozenset[asyncio.Lock]] = ContextVar(name, default=frozenset())

    def _of(self, client: NdbClient, tkn: SessionToken) -> asyncio.Lock:
        return self._locks.setdefault(client, WeakValueDictionary()).setdefault(tkn, asyncio.Lock())

    @contextlib.asynccontextmanager
    async def holding(self, client: NdbClient, tkn: SessionToken) -> AsyncGenerator[None]:
        """Hold the lock of a session. Code that runs under it, and the tasks that it starts, hold it already."""
        lock = self._of(client, tkn)
        held = self._held.get()
        if lock in held:
            yield
            return
        async with lock:
            former = self._held.set(held | {lock})
            try:
                yield
            finally:
                self._held.reset(former)

    def holds_any(self) -> bool:
        """Return True if this context holds the lock of a session."""
        return bool(self._held.get())


RESERVED_KEYS: Final = SessionLocks("reserved keys")
"""Held while a session's reserved key is read and then written, in two requests."""

MERGES: Final = SessionLocks("merges")
"""Held while a change that has met those of others is tried again."""


def is_under_lock() -> bool:
    """Return True if this context holds a lock of a session: it must not wait for code that may want the lock."""
    return RESERVED_KEYS.holds_any() or MERGES.holds_any()
