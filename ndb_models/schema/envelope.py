"""The reserved key of a typed session: of which schema it is, in which version, and under which token it is stored.

It is written last, and so commits a creation; until then, where a creation takes several writes, it holds no token.
That it holds the token makes a read prove that it is the session asked for; that it holds the schema keeps one model's
token from being read as another's.

An upgrade that does not fit into one frame is first written beside what is stored, under names that begin with the
reserved key. The reserved key commits it by saying which names those are, until they are moved to their places.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Final

import msgspec

from ndb_models.texts import NO_MEMBERS, UNREADABLE, ObjectText, and_last, before_last, join_members
from ndb_models.types import SessionToken

RESERVED_KEY: Final = "__ndb__"

REMOVED: Final = b'{"__ndb__":"removed"}'
"""What an upgrade writes over a key that it takes away, until the key is removed. Such a key does not count."""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the reserved key holds.

    `by` is the form of the class that wrote it last, see `form_of`. `idle`, `on` and `absolute` are how the session was
    told to expire, in seconds: by its class, or, if it is its `own`, by the code that created it or changed its expiry.
    `on` is what starts the idle time anew: `"read"`, `"write"`, `"never"`, or both where it is None. Sessions of older
    releases say none of these. `tkn` is None while the session is being created. `deadline` is when it ends at the
    latest, used or not, in milliseconds since 1970; NemesisDB cannot keep it itself. `staged` is what the names of keys
    begin with that count in place of those of the same name without it. `upgraded` is whether it was written back from
    an older version: only then there can be keys that are `REMOVED`.
    """

    schema: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    by: str | None = None
    idle: int | None = None
    on: str | None = None
    absolute: int | None = None
    own: bool = False
    tkn: SessionToken | None = None
    deadline: int | None = None
    staged: str | None = None
    upgraded: bool = False

    def __repr__(self) -> str:
        return f"Envelope(schema={self.schema!r}, version={self.version})"


_decoder = msgspec.json.Decoder(Envelope)
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

_TRUE: Final = msgspec.Raw(b"true")

NOT_OURS: Final = Envelope("", 1)
"""Stands for a reserved key that holds something else."""

_START: Final = b',"%b":' % RESERVED_KEY.encode()
# Where the reserved key's text is in what begins so and ends an object.
_RESERVED: Final = slice(len(_START), -1)


# A colon, a deadline, and the two braces after it: as many bytes at the most.
_LONGEST_END: Final = 24


class Seal:
    """The reserved key of nearly all sessions of a schema, as the text that ends that of their keys.

    Nearly all are of the current version, expire as their class says, and were never written back. Theirs is put there,
    and known again, without being encoded or decoded.

    Args:
        envelope: what it says, but for the token.
    """

    __slots__ = ("_all_names", "_names", "_start", "envelope")

    def __init__(self, envelope: Envelope) -> None:
        self.envelope: Envelope = envelope
        """What it says, but for the token."""
        self._start = b'%b%b,"tkn":' % (_START, _encode(envelope)[:-1])
        # The names that were sealed last, mostly those of the class, and the same with the reserved one.
        self._names: tuple[str, ...] = ()
        self._all_names: tuple[str, ...] = (RESERVED_KEY,)

    def sealed(self, keys: ObjectText, tkn: SessionToken, deadline: int | None = None) -> ObjectText:
        """Return a session's keys with the reserved one, as `sealed` does."""
        last = b"}}" if deadline is None else b',"deadline":%d}}' % deadline
        ending, names = b"%b%d%b" % (self._start, tkn, last), keys.names
        if not names:
            return keys.with_last(RESERVED_KEY, ending[_RESERVED])
        if names is not self._names:
            self._names, self._all_names = names, and_last(names, RESERVED_KEY)
        return ObjectText(keys.text[:-1] + ending, self._all_names)

    def unsealed(self, text: bytes, tkn: SessionToken) -> tuple[bytes, Envelope, bytes] | None:
        """Return what `unsealed` does, given the text of the keys; None where the reserved key is another one.

        The text of the keys without it is an object if the whole was. Only then; so it has to be read as one.
        """
        envelope = self.envelope
        if envelope.absolute is None:
            ending = b"%b%d}}" % (self._start, tkn)
        else:
            digits = text[text.rfind(b":", -_LONGEST_END) + 1 : -2]
            if not digits.isdigit() or digits.startswith(b"0"):
                return None
            ending = b'%b%d,"deadline":%b}}' % (self._start, tkn, digits)
            envelope = msgspec.structs.replace(envelope, deadline=int(digits))
        if text.endswith(ending):
            before = text[: -len(ending)]
            return (before + b"}", envelope, ending[_RESERVED]) if before != b"{" else None
        # Where no other key was asked for, nothing is before it.
        if len(text) == len(ending) and text.endswith(ending[1:]) and text.startswith(b"{"):
            return NO_MEMBERS, envelope, ending[_RESERVED]
        return None


def write_envelope(envelope: Envelope) -> bytes:
    """Return the JSON text of the reserved key."""
    return _encode(envelope)


def sealed(keys: ObjectText, envelope: Envelope) -> ObjectText:
    """Return a session's keys with the reserved one, which they do not have yet."""
    return keys.with_last(RESERVED_KEY, write_envelope(envelope))


def rewritten(text: bytes, envelope: Envelope) -> bytes:
    """Return the text of a reserved key that says something else; what else it holds, of newer releases, stays."""
    known = Envelope.__struct_fields__
    others = {name: member for name, member in _decode_members(text).items() if name not in known}
    return _encode({**_decode_members(_encode(envelope)), **others}) if others else _encode(envelope)


def unsealed(keys: ObjectText) -> tuple[bytes, Envelope | None, bytes]:
    """Return a session's keys without the reserved one, and what that holds, read and as text.

    Where there is none: None, and no text.
    """
    parts = before_last(keys.text, _START)
    if parts is not None:
        rest, reserved = parts
        envelope = read_envelope(reserved)
        if envelope is not None:
            return rest, envelope, reserved
    members = keys.split()
    text = members.pop(RESERVED_KEY, None)
    if text is None:
        return join_members(members), None, b""
    return join_members(members), read_envelope(text) or NOT_OURS, text


def signed(text: bytes, by: str) -> bytes:
    """Return the text of a reserved key that was written by another form of the class; all else in it stays."""
    return _encode({**_decode_members(text), "by": msgspec.Raw(_encode(by))})


def restamped(text: bytes, version: int, staged: str | None = None, by: str | None = None) -> bytes:
    """Return the text of a reserved key with another version; all else that it holds stays, known or not.

    `by` is the form of the class that writes it, if that is another one now.
    """
    if by is not None:
        text = signed(text, by)
    members: Mapping[str, msgspec.Raw] = {
        **_decode_members(text),
        "version": msgspec.Raw(_encode(version)),
        "upgraded": _TRUE,
    }
    kept = {name: member for name, member in members.items() if name != "staged"}
    return _encode(kept if staged is None else {**kept, "staged": msgspec.Raw(_encode(staged))})


def read_envelope(text: bytes) -> Envelope | None:
    """Return what the reserved key holds, or None if it is not one of ours."""
    try:
        return _decoder.decode(text)
    except UNREADABLE:
        return None


def is_reserved(name: str) -> bool:
    """Tell whether a key is none of the session's own: the reserved key, or what an upgrade has put beside it."""
    return name.startswith(RESERVED_KEY) and (len(name) == len(RESERVED_KEY) or name[len(RESERVED_KEY)] == ":")


def of_one_session(texts: Collection[bytes | None]) -> bool:
    """Tell whether these reserved keys, read one after the other, are those of one session that was upgraded."""
    envelopes = [read_envelope(text or b"") for text in texts]
    sessions = {(each.schema, each.tkn) if each is not None else None for each in envelopes}
    return len(sessions) == 1 and all(each is not None and each.tkn is not None for each in envelopes)
