"""The state of sessions, for the index. An index entry is a hint; the session decides.

A session may have two values of a field: the stored one, and the one that its class makes of it. The class upgrades,
validates and fills in defaults. Both are listed, and neither is false: older code goes by the first, and newer code by
the second. Finding and ending sessions goes by the second. A session that the class does not take is ended by the
first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import NamedTuple

from ndb_models.errors import (
    ForeignSessionError,
    IncompleteSessionError,
    SessionGoneError,
    UnusableSessionError,
    WrongSchemaError,
)
from ndb_models.schema.lookup import LookupValue
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.reading import UPKEEP, Read
from ndb_models.sessions.upgrading import Upgrading
from ndb_models.types import SessionToken


class SessionState(Enum):
    """The state of a session that an index entry names."""

    LIVING = "it can be read"
    UNFINISHED = "its creation is unfinished"
    GONE = "there is none, and never will be again: tokens are given out once"
    OTHER = "it belongs to another schema, or another client wrote it"


LIVING = SessionState.LIVING
UNFINISHED = SessionState.UNFINISHED
GONE = SessionState.GONE
OTHER = SessionState.OTHER


def _nothing() -> None:
    return None


class SeenSession(NamedTuple):
    """A session as it was seen. Of a living session, `keys` are the keys that count.

    `made` returns the lookup fields as its class reads them, or None if the class does not take the session.
    """

    tkn: SessionToken
    state: SessionState
    keys: Mapping[str, bytes]
    made: Callable[[], Mapping[str, bytes] | None] = _nothing

    def has(self, value: LookupValue) -> bool:
        """Return True if it has this value: as it is stored, or as its class reads it."""
        return value.is_in(self.keys) or value.is_in(self.made() or {})

    def reads_as(self, value: LookupValue) -> bool:
        """Return True if it has this value as its class reads it, or as stored if the class does not take it."""
        made = self.made()
        return value.is_in(self.keys if made is None else made)

    def __repr__(self) -> str:
        return f"SeenSession({self.state.name})"


class SessionExaminer:
    """Finds out the state of sessions. It extends no expiry, except on a NemesisDB, which has no such read.

    Args:
        access: the access to the sessions of the schema.
        upgrading: the upgrades of the class.
        fields: the lookup fields.
        contested: True if creations of the schema are contested.
    """

    def __init__(
        self, access: SessionAccess, upgrading: Upgrading, fields: tuple[str, ...], *, contested: bool
    ) -> None:
        self._access = access
        self._upgrading = upgrading
        self._fields = fields
        self._contested = contested

    async def examine(self, tkn: SessionToken) -> SeenSession:
        """Return a session as it is."""
        try:
            return await self.examine_living(tkn)
        except UnusableSessionError as exc:
            return self.unusable(tkn, exc)

    def unusable(self, tkn: SessionToken, error: UnusableSessionError) -> SeenSession:
        """Return a session that does not live, given the error of reading it. Other errors are raised again."""
        match error:
            case SessionGoneError():
                state = GONE
            case IncompleteSessionError():
                state = UNFINISHED
            case ForeignSessionError():  # keys without a reserved one: a contested creation writes those first
                state = UNFINISHED if self._contested else OTHER
            case WrongSchemaError():
                state = OTHER
            case _:
                raise error
        return SeenSession(tkn, state, {})

    async def examine_living(self, tkn: SessionToken) -> SeenSession:
        """Return a living session as it is. Raises as `SessionAccess.read`."""
        return await self.living(tkn, await self._access.read(tkn, self._upgrading.names, UPKEEP))

    async def living(self, tkn: SessionToken, read: Read) -> SeenSession:
        """Return a living session as it is, given a read of its fields."""
        return self.seen(tkn, read if read.is_common else await self._upgrading.counted(tkn, read))

    def seen(self, tkn: SessionToken, counted: Read) -> SeenSession:
        """Return a living session, given a read of the keys that count."""
        return SeenSession(tkn, LIVING, counted.keys, partial(self._upgrading.made, tkn, counted, self._fields))
