"""What a session says about an entry of the index. An entry counts for nothing by itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from ndb_models.errors import ForeignSessionError, IncompleteSessionError, SessionGoneError, WrongSchemaError
from ndb_models.repository.access import Read, SessionAccess
from ndb_models.repository.directory import Member
from ndb_models.schema.lookup import digest
from ndb_models.types import Clock, SessionToken

SETTLING: Final = 120.0
"""Seconds after which nobody who made an entry is still on the way to the write that it was made for."""


class Value(NamedTuple):
    """A value of a field: its hash, and the shared key that stands for it."""

    field: str
    digest: str
    name: str

    def __repr__(self) -> str:
        return f"Value({self.field!r})"


class Standing(Enum):
    """What has become of a session that an entry names."""

    LIVING = "it can be read"
    UNFINISHED = "its creation has not come to its end"
    GONE = "there is none, and never will be again: tokens are given out once"
    STRANGE = "it is none of this schema"


class Sighting(NamedTuple):
    """A session as it was seen; `keys` are those that were asked for, of one that lives."""

    tkn: SessionToken
    standing: Standing
    keys: Mapping[str, bytes]

    def has(self, value: Value) -> bool:
        """Tell whether it has this value."""
        text = self.keys.get(value.field)
        return text is not None and digest(text) == value.digest

    def __repr__(self) -> str:
        return f"Sighting({self.standing.name})"


class Examiner:
    """Looks at sessions, and at the time.

    Args:
        access: to the sessions of the schema.
        contested: whether creations of the schema are.
        clock: tells the time in seconds since 1970.
    """

    def __init__(self, access: SessionAccess, *, contested: bool, clock: Clock = time.time) -> None:
        self._access = access
        self._contested = contested
        self._clock = clock

    async def examine(self, tkn: SessionToken, names: tuple[str, ...]) -> Sighting:
        """Return what a session is, with its keys of these names. Counts as a read."""
        return (await self.read(tkn, names))[0]

    async def read(self, tkn: SessionToken, names: tuple[str, ...]) -> tuple[Sighting, Read | None]:
        """Return the same, and what was read."""
        try:
            read = await self._access.read(tkn, names)
        except SessionGoneError:
            return Sighting(tkn, Standing.GONE, {}), None
        except IncompleteSessionError:
            return Sighting(tkn, Standing.UNFINISHED, {}), None
        except ForeignSessionError:  # keys without a reserved one: a contested creation has them before that
            return Sighting(tkn, Standing.UNFINISHED if self._contested else Standing.STRANGE, {}), None
        except WrongSchemaError:
            return Sighting(tkn, Standing.STRANGE, {}), None
        return Sighting(tkn, Standing.LIVING, read.keys), read

    def now(self) -> int:
        """Return the time in milliseconds since 1970."""
        return int(self._clock() * 1000)

    def is_settled(self, member: Member) -> bool:
        """Tell whether an entry is so old that nobody is about to make it true."""
        return self.now() - member.at >= SETTLING * 1000
