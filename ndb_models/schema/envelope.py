"""The reserved key of a typed session: of which schema it is, in which version, and under which token it is stored.

It is written last, and so commits a creation; until then, where a creation takes several writes, it holds no token.
That it holds the token makes a read prove that it is the session asked for; that it holds the schema keeps one model's
token from being read as another's.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ndb_models.texts import ObjectText, before_last, join_members
from ndb_models.types import SessionToken

RESERVED_KEY: Final = "__ndb__"

_VERSION: Final = 1


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the reserved key holds.

    `tkn` is None while the session is being created. `deadline` is when it ends at the latest, used or not, in
    milliseconds since 1970; NemesisDB cannot keep it itself.
    """

    schema: str
    version: int
    tkn: SessionToken | None = None
    deadline: int | None = None

    def __repr__(self) -> str:
        return f"Envelope(schema={self.schema!r}, version={self.version})"


_decoder = msgspec.json.Decoder(Envelope)
_encode = msgspec.json.Encoder().encode


NOT_OURS: Final = Envelope("", 0)
"""Stands for a reserved key that holds something else."""

_START: Final = b',"%b":' % RESERVED_KEY.encode()


def write_envelope(schema: str, tkn: SessionToken | None, deadline: int | None) -> bytes:
    """Return the JSON text of the reserved key."""
    return _encode(Envelope(schema, _VERSION, tkn, deadline))


def sealed(keys: ObjectText, schema: str, tkn: SessionToken, deadline: int | None) -> ObjectText:
    """Return a session's keys with the reserved one, which they do not have yet."""
    return keys.with_last(RESERVED_KEY, write_envelope(schema, tkn, deadline))


def unsealed(keys: ObjectText) -> tuple[bytes, Envelope | None]:
    """Return a session's keys without the reserved one, and what that holds; None where there is none."""
    parts = before_last(keys.text, _START)
    if parts is not None:
        envelope = _read_envelope(parts[1])
        if envelope is not None:
            return parts[0], envelope
    members = keys.split()
    reserved = members.pop(RESERVED_KEY, None)
    return join_members(members), None if reserved is None else _read_envelope(reserved) or NOT_OURS


def _read_envelope(text: bytes) -> Envelope | None:
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return None
