"""Locks of this process, one a session: its tasks take turns at what they would otherwise do over and over."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from ndb_models.client import NdbClient
from ndb_models.types import SessionToken


class SessionLocks:
    """A lock for each session that is in use, by client and token."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[NdbClient, WeakValueDictionary[SessionToken, asyncio.Lock]] = WeakKeyDictionary()

    def of(self, client: NdbClient, tkn: SessionToken) -> asyncio.Lock:
        """Return the lock of a session."""
        return self._locks.setdefault(client, WeakValueDictionary()).setdefault(tkn, asyncio.Lock())


RESERVED_KEYS: Final = SessionLocks()
"""Held while a session's reserved key is read and then written, in two requests."""

MERGES: Final = SessionLocks()
"""Held while changes are merged with those of others. Its holder may take the lock in `RESERVED_KEYS`."""
