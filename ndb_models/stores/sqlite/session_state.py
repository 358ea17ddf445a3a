"""Works out a session's current state from its row, the time and its last read, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from ndb_models.stores.contract import ExpirySettings
from ndb_models.stores.expiry import deadline_after_use, expiry_state
from ndb_models.stores.sqlite.extensions import Extension
from ndb_models.stores.sqlite.maps import unsigned
from ndb_models.types import SessionToken, shared_settings

COLUMNS: Final = "duration, delete_session, extend_on_set_add, extend_on_get, deadline, due"
"""The columns of a `SessionRow`."""

_MOST_STORED: Final = 2**63 - 1

SessionRow: TypeAlias = Sequence[Any]
"""A row of the table `session`, without its token: the `COLUMNS`, and behind them the values of keys."""


class CurrentSession(msgspec.Struct, gc=False):
    """A session as it is now.

    Attributes:
        token: the session's token.
        expiry: its settings.
        deadline: when its time comes; None for never.
        stored: the deadline in its row.
        due: when a sweep looks at its row for expiry.
        emptied: True if its time has come since its row was written: its stored keys count as gone.
        values: the stored values of keys that were read along with the row, None for a missing key.
    """

    token: SessionToken
    expiry: ExpirySettings
    deadline: float | None
    stored: float | None
    due: float | None
    emptied: bool = False
    values: Sequence[bytes | None] = ()

    @property
    def is_ahead(self) -> bool:
        """True if the stored deadline was written by a clock that was ahead."""
        return self.deadline is not None and self.stored is not None and self.deadline < self.stored


def use_columns(expiry: ExpirySettings) -> tuple[int, int]:
    """Return `extend_on_set_add` and `extend_on_get` as they are stored: 0, or 1 more than `touch_every`.

    Releases that do not know `touch_every` read this as true, and extend at every use.
    """
    extends = min(expiry.touch_every, _MOST_STORED - 1) + 1
    return extends * expiry.extend_on_set_add, extends * expiry.extend_on_get


# There may be many sessions, but of a few kinds.
@lru_cache(maxsize=256)
def _settings(duration: int, delete_session: int, on_set_add: int, on_get: int) -> ExpirySettings:
    """Return the settings in the columns of a row."""
    touch_every = max(on_set_add, on_get, 1) - 1
    return shared_settings(unsigned(duration), bool(delete_session), bool(on_set_add), bool(on_get), touch_every)


def current_session(
    token: SessionToken, row: SessionRow, now: float, extension: Extension | None
) -> CurrentSession | None:
    """Return a session's current state; None if it has ended by expiry.

    Args:
        token: the session's token.
        row: its stored row, and values of its keys.
        now: the time in seconds since 1970.
        extension: the last extension by a read, if it is not stored yet.
    """
    duration, delete_session, on_set_add, on_get, stored, due, *values = row
    expiry = _settings(duration, delete_session, on_set_add, on_get)
    session = CurrentSession(token, expiry, stored, stored, due, False, values)
    if stored is None:
        return session
    if extension is not None and expiry.extend_on_get:
        read_at = min(extension.read_at, now)
        stored_timer = min(stored, now + expiry.duration)
        session.emptied = read_at >= stored_timer
        # The duration may have changed since the read: the shorter one counts.
        until = min(deadline_after_use(expiry, True, stored_timer, read_at), read_at + extension.lasts)
        stored = max(stored_timer, until)
    state = expiry_state(expiry, stored, now)
    if state is None or (session.emptied and expiry.delete_session):
        return None
    session.emptied |= state.emptied
    session.deadline = state.deadline
    return session
