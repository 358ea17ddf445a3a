"""The result of reading a session, and the effect of a read on the session's expiry."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec

from ndb_models.json_text import NO_MEMBERS, ObjectText, join_members, split_members
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import reading_answer
from ndb_models.schema.envelope import NOT_OURS, Envelope, split_envelope
from ndb_models.types import SessionToken

_SH_GET: Final = COMMANDS["SH_GET"]


class ReadEffect(Enum):
    """The effect of a read on the expiry of a session."""

    USE = "it counts as use, and extends the expiry where use does"
    LOOK = "it extends nothing: refused where the server cannot read so"
    UPKEEP = "it extends nothing, but where the server cannot read so"


# Looking a member up in its enum takes several times as long.
USE: Final = ReadEffect.USE
LOOK: Final = ReadEffect.LOOK
UPKEEP: Final = ReadEffect.UPKEEP


class Read(msgspec.Struct, frozen=True, gc=False):
    """The result of reading a session: the text of its keys without the reserved one, and the reserved key.

    `text` is not validated yet: a codec or `keys` finds out whether it is an object. `envelope` is the parsed reserved
    key, None for a foreign session; `reserved` is its text. `is_common` is True if the reserved key is the class's
    `CommonEnvelope`: of this form of the class, with its version and its expiry.
    """

    text: bytes
    envelope: Envelope | None
    reserved: bytes = b""
    is_common: bool = False

    def __repr__(self) -> str:
        return f"Read({len(self.text)} bytes)"

    @property
    def keys(self) -> dict[str, bytes]:
        """The keys one by one, in a new dict.

        Raises:
            ProtocolError: the server's reply has no object for them.
        """
        with reading_answer(_SH_GET):
            return split_members(self.text)

    def with_reserved(self, envelope: Envelope, reserved: bytes) -> Read:
        """Return the same with another reserved key."""
        return Read(self.text, envelope, reserved)

    def with_keys(self, keys: Mapping[str, bytes]) -> Read:
        """Return the same with other keys."""
        return msgspec.structs.replace(self, text=join_members(keys))

    def is_by_another_form(self, by: str) -> bool:
        """Return True if another form of the class wrote it last, or an older release."""
        return self.envelope is not None and self.envelope.by != by

    def may_be_newer(self, version: int, by: str) -> bool:
        """Return True if newer code may have written this: the same version, but another form of the class."""
        envelope = self.envelope
        return envelope is not None and envelope.version == version and envelope.by not in (None, by)

    @property
    def is_extended_by_all_use(self) -> bool:
        """True if reads and writes are known to extend the session alike."""
        envelope = self.envelope
        return envelope is not None and envelope.idle is not None and envelope.on is None

    @property
    def deadline(self) -> int | None:
        """The deadline, in milliseconds since 1970. None if the session has no deadline."""
        return self.envelope.deadline if self.envelope is not None else None


class Mismatch(Enum):
    """A reason for not taking what was read as the session of a token."""

    EMPTY = "it has none of the keys"
    FOREIGN = "it has no reserved key of ours: another client wrote it"
    OF_ANOTHER_TOKEN = "its reserved key holds the token of another session"
    OF_ANOTHER_SCHEMA = "it is a session of another model"
    INCOMPLETE = "its creation is not finished"


def judged(keys: ObjectText, tkn: SessionToken, schema: str, *, foreign: bool) -> Read | Mismatch:
    """Return the read of a session, or why it is not taken.

    Args:
        keys: the keys that were asked for, and the reserved one.
        tkn: the session's token.
        schema: the name of its schema.
        foreign: True to take sessions without a reserved key, which other clients wrote.

    Raises:
        ProtocolError: the keys are not one JSON object.
    """
    with reading_answer(_SH_GET):
        text, envelope, reserved = split_envelope(keys)
    if envelope is None:
        if text == NO_MEMBERS:
            return Mismatch.EMPTY
        return Read(text, None) if foreign else Mismatch.FOREIGN
    if envelope is NOT_OURS:
        return Mismatch.FOREIGN
    if envelope.schema != schema:
        return Mismatch.OF_ANOTHER_SCHEMA
    if envelope.tkn is None:
        return Mismatch.INCOMPLETE
    return Read(text, envelope, reserved) if envelope.tkn == tkn else Mismatch.OF_ANOTHER_TOKEN
