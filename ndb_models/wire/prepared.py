"""Requests of those who have JSON as text, and want no objects made of it.

They need no frame where there is no wire: an engine in the same process takes them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ndb_models.errors import ProtocolError
from ndb_models.texts import NO_MEMBERS, ObjectText
from ndb_models.wire.commands import Command
from ndb_models.wire.exchange import Exchange
from ndb_models.wire.statuses import Status


class _Answer(msgspec.Struct):
    st: int
    tkn: int | None = None
    keys: msgspec.Raw = msgspec.Raw(NO_MEMBERS)
    m: str = ""


_decode = msgspec.json.Decoder(dict[str, _Answer]).decode
_encode = msgspec.json.Encoder().encode


_SUCCESS: Final[Mapping[str, Any]] = {"st": Status.OK}


class Prepared(Exchange):
    """A request whose parameters are known to fit its command.

    Args:
        command: the row of the table.
        body: the parameters, as parsed JSON; for a command that stores values, without them.
        values: what it stores, as a JSON object.
    """

    __slots__ = ("body", "values")

    def __init__(self, command: Command, body: Mapping[str, Any], values: ObjectText | None = None) -> None:
        self.command: Command = command
        self.frame: bytes = b""  # none yet: see `to_frame`
        self.on_orphan: Callable[[bytes], None] | None = None
        self.body: Mapping[str, Any] = body
        self.values: Any = values

    def to_frame(self) -> Prepared:
        """Make the frame, for a transport that needs it; return this."""
        body = _encode(self.body)
        if self.values is not None:
            body = b'%b%b"keys":%b}' % (body[:-1], b"," if self.body else b"", self.values.text)
        self.frame = b'{"%b":%b}' % (self.command.name.encode(), body)
        return self

    def read(self, answer: bytes) -> Mapping[str, Any]:
        """Return the body of an answer's frame; its `keys` as text.

        Raises:
            ProtocolError: it is none.
        """
        if answer == self.command.bare_success:
            return _SUCCESS
        try:
            ((_, body),) = _decode(answer).items()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
            raise ProtocolError(f"the server's answer to {self.command.name} cannot be read") from exc
        keys = bytes(body.keys)
        if keys[:1] != b"{":
            raise ProtocolError(f"the server's answer to {self.command.name} has keys that are no object")
        return {"st": body.st, "tkn": body.tkn, "keys": ObjectText(keys), "m": body.m}


def key_size(name: str, text: bytes) -> int:
    """Return how many bytes a key takes in a frame, with the comma before it."""
    return len(_encode(name)) + 1 + len(text) + 1
