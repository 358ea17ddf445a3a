"""What a read of a session brings, and what it does to the session's expiry."""

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
    """What a read does to the expiry of a session."""

    USE = "it counts as use, and extends the expiry where use does"
    LOOK = "it extends nothing: refused where the server cannot read so"
    UPKEEP = "it extends nothing, but where the server cannot read so"


# An enum's members take several times as long to be looked up in it.
USE: Final = Reading.USE
LOOK: Final = Reading.LOOK


class Read(msgspec.Struct, frozen=True):
    """What was read of a session: its keys without the reserved one, as the text of an object, and what that says.

    `envelope` is None for a foreign session; `reserved` is the text that it was read from. That `text` is an object
    shows when it is read as one, by a codec or by `keys`. It is `usual` where the reserved key says what this form of
    the class writes, in its version and with its expiry.
    """

    text: bytes
    envelope: Envelope | None
    reserved: bytes = b""
    usual: bool = False

    def __repr__(self) -> str:
        return f"Read({len(self.text)} bytes)"

    @property
    def keys(self) -> dict[str, bytes]:
        """The keys one by one, in a dict of their own.

        Raises:
            ProtocolError: the server's answer had no object for them.
        """
        return ReceivedKeys.of(self.text, _SH_GET.name).split()

    def with_reserved(self, envelope: Envelope, reserved: bytes) -> Read:
        """Return the same with another reserved key."""
        return Read(self.text, envelope, reserved)

    def with_keys(self, keys: Mapping[str, bytes]) -> Read:
        """Return the same with other keys."""
        return msgspec.structs.replace(self, text=join_members(keys))

    def is_by_another_form(self, by: str) -> bool:
        """Tell whether another form of the class than this one wrote it last, or an older release."""
        return self.envelope is not None and self.envelope.by != by

    @property
    def deadline(self) -> int | None:
        """When it ends at the latest, in milliseconds since 1970."""
        return self.envelope.deadline if self.envelope is not None else None
