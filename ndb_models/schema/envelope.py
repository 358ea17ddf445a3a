"""The reserved key of a typed session: its schema and version, and the token that it is stored under.

It is written last, and so commits a creation. If a creation takes several writes, the key holds no token before the
last one. The token lets a read prove that it found the session asked for. The schema keeps one model's token from being
read as another's.

An upgrade that does not fit into one frame is first written beside the stored keys, under names that begin with the
reserved key. The reserved key commits the upgrade: it records the prefix of these names until the keys are moved.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Final

import msgspec

from ndb_models.credentials import SecretDigests
from ndb_models.json_text import UNREADABLE, ObjectText, before_last, join_members
from ndb_models.types import JsonValue, SessionToken

RESERVED_KEY: Final = "__ndb__"

REMOVED: Final = b'{"__ndb__":"removed"}'
"""The value that an upgrade writes over a key until it removes the key. Such a key does not count."""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The contents of the reserved key. Sessions of older releases lack `by` and the expiry (`idle` to `own`).

    Attributes:
        schema: the name of the schema.
        version: the version of the schema.
        by: the form of the class that last wrote the key; see `form_of`.
        idle: the idle expiry of the session in seconds.
        on: the use that restarts the idle time: `"read"`, `"write"`, `"never"`, or None for both.
        absolute: the absolute expiry of the session in seconds.
        touch_every: the seconds in which use restarts the idle time at most once; None for at every use.
        own: true if a call set the expiry, at creation or later; false if the class did.
        tkn: the token; None while the session is being created.
        deadline: the latest end of the session, used or not, in milliseconds since 1970. NemesisDB cannot keep it
            itself.
        secret: the digests of the secrets that open the session; None if it has no credential.
        created: when a tracked session was created, in milliseconds since 1970, as the next two.
        used: when a tracked session was last used.
        authenticated: the last login after the creation, in ms since 1970; None if there was none.
        public_id: names a tracked session, and opens nothing.
        staged: a prefix of names. Keys with it count in place of the keys of the same name without it.
        upgraded: true if the session was written back from an older version. Only then can keys be `REMOVED`.
    """

    schema: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    by: str | None = None
    idle: int | None = None
    on: str | None = None
    absolute: int | None = None
    touch_every: int | None = None
    own: bool = False
    tkn: SessionToken | None = None
    deadline: int | None = None
    secret: SecretDigests | None = None
    created: int | None = None
    used: int | None = None
    authenticated: int | None = None
    public_id: str | None = None
    staged: str | None = None
    upgraded: bool = False

    def __repr__(self) -> str:
        return f"Envelope(schema={self.schema!r}, version={self.version})"


_decode = msgspec.json.Decoder(Envelope).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

_TRUE: Final = msgspec.Raw(b"true")

NOT_OURS: Final = Envelope("", 1)
"""Stands for a reserved key with other contents."""

RESERVED_START: Final = b',"%b":' % RESERVED_KEY.encode()
"""The text before the value of the reserved key, if it is the last of several keys."""


def is_of_schema(reserved: JsonValue, schema: str) -> bool:
    """Return True if a parsed reserved key may be that of a session of this schema. A read of the session decides."""
    return isinstance(reserved, dict) and reserved.get("schema") == schema


def write_envelope(envelope: Envelope) -> bytes:
    """Return the JSON text of the reserved key."""
    return _encode(envelope)


def with_envelope(keys: ObjectText, envelope: Envelope) -> ObjectText:
    """Return a session's keys with the reserved one. They must not have it yet."""
    return keys.with_last(RESERVED_KEY, write_envelope(envelope))


def rewritten(text: bytes, envelope: Envelope) -> bytes:
    """Return the text of a reserved key with new contents. Members that newer releases wrote stay."""
    known = Envelope.__struct_fields__
    others = {name: member for name, member in _decode_members(text).items() if name not in known}
    return _encode({**_decode_members(_encode(envelope)), **others}) if others else _encode(envelope)


def split_envelope(keys: ObjectText) -> tuple[bytes, Envelope | None, bytes]:
    """Return a session's keys without the reserved one; then its contents and its text.

    Without a reserved key, these are None and an empty text. If the key is not ours, its contents are `NOT_OURS`.
    """
    parts = before_last(keys.text, RESERVED_START)
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
    """Return the text of a reserved key with another form of the class as its writer. All else in it stays."""
    return _encode({**_decode_members(text), "by": msgspec.Raw(_encode(by))})


def restamped(text: bytes, version: int, staged: str | None = None, by: str | None = None) -> bytes:
    """Return the text of a reserved key with another version, marked as upgraded. Other members stay, known or not.

    `staged` replaces the old prefix; None removes it. `by` replaces the form of the class; None leaves it.
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
    """Return the contents of the reserved key, or None if it is not ours."""
    try:
        return _decode(text)
    except UNREADABLE:
        return None


def is_reserved(name: str) -> bool:
    """Tell whether a key is the reserved key, or one that an upgrade has put beside the session's own keys."""
    return name.startswith(RESERVED_KEY) and (len(name) == len(RESERVED_KEY) or name[len(RESERVED_KEY)] == ":")


def of_one_session(texts: Collection[bytes | None]) -> bool:
    """Tell whether these reserved keys, read one after the other, belong to one session, upgraded in between."""
    envelopes = [read_envelope(text or b"") for text in texts]
    sessions = {(each.schema, each.tkn) if each is not None else None for each in envelopes}
    return len(sessions) == 1 and all(each is not None and each.tkn is not None for each in envelopes)
