"""Examines sessions for the index. An index entry is a hint; the session decides.

A session may have two values of a field: the stored one, and the one that its class makes of it. The class upgrades,
validates and fills in defaults. Both are listed, and neither is false: older code goes by the first, and newer code by
the second. Finding and ending sessions goes by the second. A session that the class does not take is ended by the
first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Final, NamedTuple

from ndb_models.errors import ForeignSessionError, IncompleteSessionError, SessionGoneError, WrongSchemaError
from ndb_models.repository.access import SessionAccess
from ndb_models.repository.directory import Member
from ndb_models.repository.reading import Read, Reading
from ndb_models.repository.upgrading import Upgrading
from ndb_models.schema.lookup import digest
from ndb_models.types import Clock, SessionToken

SETTLING: Final = 120.0
"""Seconds after which the write that an entry was made for is done, or never will be."""


class Value(NamedTuple):
    """A value of a field: its hash, and the shared key that stands for it."""

    field: str
    digest: str
    name: str

    def __repr__(self) -> str:
        return f"Value({self.field!r})"


class Standing(Enum):
    """The state of a session that an entry names."""

    LIVING = "it can be read"
    UNFINISHED = "its creation has not come to its end"
    GONE = "there is none, and never will be again: tokens are given out once"
    STRANGE = "it is none of this schema"


def _nothing() -> None:
    return None


class Sighting(NamedTuple):
    """A session as it was seen. Of a living session, `keys` are the keys that count.

    `made` returns the lookup fields as its class reads them, or None if the class does not take the session.
    """

    tkn: SessionToken
    standing: Standing
    keys: Mapping[str, bytes]
    made: Callable[[], Mapping[str, bytes] | None] = _nothing

    def has(self, value: Value) -> bool:
        """Return True if it has this value: as it is stored, or as its class reads it."""
        return is_among(value, self.keys) or is_among(value, self.made() or {})

    def reads_as(self, value: Value) -> bool:
        """Return True if it has this value as its class reads it, or as stored if the class does not take it."""
        made = self.made()
        return is_among(value, self.keys if made is None else made)

    def __repr__(self) -> str:
        return f"Sighting({self.standing.name})"


def is_among(value: Value, keys: Mapping[str, bytes]) -> bool:
    """Return True if these keys have this value."""
    text = keys.get(value.field)
    return text is not None and digest(text) == value.digest


class Examiner:
    """Looks at sessions, and at the time. A look extends no expiry, except on a NemesisDB, which has no such read.

    Args:
        access: the access to the sessions of the schema.
        upgrading: the upgrades of the class.
        fields: the lookup fields.
        contested: True if creations of the schema are contested.
        clock: tells the time in seconds since 1970.
    """

    def __init__(
        self,
        access: SessionAccess,
        upgrading: Upgrading,
        fields: tuple[str, ...],
        *,
        contested: bool,
        clock: Clock = time.time,
    ) -> None:
        self._access = access
        self._upgrading = upgrading
        self._fields = fields
        self._contested = contested
        self._clock = clock

    async def examine(self, tkn: SessionToken) -> Sighting:
        """Return the sighting of a session."""
        return (await self.read(tkn))[0]

    async def look(self, tkn: SessionToken, reading: Reading = Reading.UPKEEP) -> tuple[Sighting, Read]:
        """Return the sighting of a living session, and the read.

        Raises as `SessionAccess.read`.
        """
        read = await self._access.read(tkn, self._upgrading.names, reading)
        return self.sighting(tkn, await self._upgrading.counted(tkn, read)), read

    def sighting(self, tkn: SessionToken, counted: Read) -> Sighting:
        """Return the sighting of a living session, given a read of the keys that count."""
        made = partial(self._upgrading.made, tkn, counted, self._fields)
        return Sighting(tkn, Standing.LIVING, counted.keys, made)

    async def read(self, tkn: SessionToken, reading: Reading = Reading.UPKEEP) -> tuple[Sighting, Read | None]:
        """Return the sighting of a session, and the read if the session lives."""
        try:
            return await self.look(tkn, reading)
        except SessionGoneError:
            return Sighting(tkn, Standing.GONE, {}), None
        except IncompleteSessionError:
            return Sighting(tkn, Standing.UNFINISHED, {}), None
        except ForeignSessionError:  # keys without a reserved one: a contested creation writes those first
            return Sighting(tkn, Standing.UNFINISHED if self._contested else Standing.STRANGE, {}), None
        except WrongSchemaError:
            return Sighting(tkn, Standing.STRANGE, {}), None

    def now(self) -> int:
        """Return the time in milliseconds since 1970."""
        return int(self._clock() * 1000)

    def is_settled(self, member: Member) -> bool:
        """Return True if an entry is so old that no process is about to make it true."""
        return self.now() - member.at >= SETTLING * 1000
