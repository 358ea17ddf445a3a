"""The result of reading a session, and the effect of a read on the session's expiry."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec

from ndb_models.schema.envelope import Envelope
from ndb_models.texts import join_members
from ndb_models.wire.commands import COMMANDS
from ndb_models.wire.prepared import ReceivedKeys

_SH_GET: Final = COMMANDS["SH_GET"]


class Reading(Enum):
    """The effect of a read on the expiry of a session."""

    USE = "it counts as use, and extends the expiry where use does"
    LOOK = "it extends nothing: refused where the server cannot read so"
    UPKEEP = "it extends nothing, but where the server cannot read so"


# Looking a member up in its enum takes several times as long.
USE: Final = Reading.USE
LOOK: Final = Reading.LOOK
UPKEEP: Final = Reading.UPKEEP


class Read(msgspec.Struct, frozen=True):
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
        return ReceivedKeys(self.text, command=_SH_GET.name).split()

    def with_reserved(self, envelope: Envelope, reserved: bytes) -> Read:
        """Return the same with another reserved key."""
        return Read(self.text, envelope, reserved)

    def with_keys(self, keys: Mapping[str, bytes]) -> Read:
        """Return the same with other keys."""
        return msgspec.structs.replace(self, text=join_members(keys))

    def is_by_another_form(self, by: str) -> bool:
        """Return True if another form of the class wrote it last, or an older release."""
        return self.envelope is not None and self.envelope.by != by

    @property
    def deadline(self) -> int | None:
        """The deadline, in milliseconds since 1970. None if the session has no deadline."""
        return self.envelope.deadline if self.envelope is not None else None
