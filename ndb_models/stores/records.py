"""Facts about sessions, and whole sessions, as stores return them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from ndb_models.types import ExpirySettings, SessionToken


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Facts about a session. `remaining` is in seconds, None for a session that never expires."""

    key_count: int
    expiry: ExpirySettings
    remaining: float | None


class SessionRecord(msgspec.Struct, frozen=True, gc=False):
    """A whole session, as it is saved and restored. There may be many, so the garbage collector skips them."""

    token: SessionToken
    expiry: ExpirySettings
    keys: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"<SessionRecord of {len(self.keys)} keys>"


class Statistics(NamedTuple):
    """A store's figures for monitoring; None for a figure that it does not count.

    `expired` counts how often a session was found expired since the store was opened. `size` is in bytes of memory;
    only a store in memory with limits counts it.
    """

    sessions: int
    keys: int
    expired: int | None = None
    size: int | None = None


@dataclass(slots=True)
class SessionPage:
    """A part of all sessions: the values of one key, and the token of the last session of the page.

    `last` is None if this page is the last one.
    """

    values: dict[SessionToken, bytes]
    last: SessionToken | None
