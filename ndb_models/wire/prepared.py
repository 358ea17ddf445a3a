"""Requests of those who have JSON as text, and want no objects made of it.

They need no frame where there is no wire: an engine in the same process takes them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ndb_models.errors import ProtocolError
from ndb_models.wire.commands import Command
from ndb_models.wire.exchange import Exchange
from ndb_models.wire.statuses import Status


class _Answer(msgspec.Struct):
    st: int
    tkn: int | None = None
    keys: dict[str, msgspec.Raw] = {}
    m: str = ""


_decode = msgspec.json.Decoder(dict[str, _Answer]).decode
_encode = msgspec.json.Encoder().encode


_SUCCESS: Final[Mapping[str, Any]] = {"st": Status.OK}


class Prepared(Exchange):
    """A request whose parameters are known to fit its command.

    Args:
        command: the row of the table.
        body: the parameters, as parsed JSON; for a command that stores values, without them.
        texts: what it stores, as JSON texts by name.
    """

    __slots__ = ("body", "texts")

    def __init__(self, command: Command, body: Mapping[str, Any], texts: Mapping[str, bytes] | None = None) -> None:
        super().__init__(command, b"")  # no frame yet: see `to_frame`
        self.body: Mapping[str, Any] = body
        self.texts: Mapping[str, bytes] | None = texts

    def to_frame(self) -> Prepared:
        """Make the frame, for a transport that needs it; return this."""
        body = self.body
        if self.texts is not None:
            body = {**body, "keys": {name: msgspec.Raw(text) for name, text in self.texts.items()}}
        self.frame: bytes = _encode({self.command.name: body})
        return self

    def read(self, answer: bytes) -> Mapping[str, Any]:
        """Return the body of an answer's frame, values as their texts.

        Raises:
            ProtocolError: it is none.
        """
        if self.texts is not None and answer == self.command.bare_success:
            return _SUCCESS
        try:
            ((_, body),) = _decode(answer).items()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
            raise ProtocolError(f"the server's answer to {self.command.name} cannot be read") from exc
        keys = {name: bytes(text) for name, text in body.keys.items()}
        return {"st": body.st, "tkn": body.tkn, "keys": keys, "m": body.m}


def join_keys(keys: Mapping[str, bytes]) -> bytes:
    """Return the JSON object of these names and texts."""
    return _encode({name: msgspec.Raw(text) for name, text in keys.items()})


_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def split_keys(text: bytes) -> dict[str, bytes]:
    """Return the texts of a JSON object's members."""
    return {name: bytes(value) for name, value in _split(text).items()}


def key_size(name: str, text: bytes) -> int:
    """Return how many bytes a key takes in a frame, with the comma before it."""
    return len(_encode(name)) + 1 + len(text) + 1
