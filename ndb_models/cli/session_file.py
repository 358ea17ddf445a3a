"""The format of exported sessions: JSON lines, each one whole session, with its values as they are stored.

    {"tkn":"16204359010587816757","schema":"UserSession","expires":"2026-11-29T18:00:00Z","expiry":{...},"keys":{...}}

A token is a text, since programs that read JSON numbers as floating point would change it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ndb_models.errors import InvalidArgumentError
from ndb_models.json_text import UNREADABLE, ObjectText
from ndb_models.raising import raise_without_context
from ndb_models.schema.envelope import RESERVED_KEY, read_envelope
from ndb_models.types import ExpirySettings, SessionToken, expiry_parameter, settings_in

if TYPE_CHECKING:
    from ndb_models.cli.session_facts import SessionFacts

_LARGEST: Final = 2**64
_LONGEST_TOKEN: Final = 20


class _Expiry(msgspec.Struct):
    duration: int
    deleteSession: bool = False  # noqa: N815 - the names of the protocol
    extendOnSetAdd: bool = False  # noqa: N815
    extendOnGet: bool = False  # noqa: N815
    touchEvery: int = 0  # noqa: N815


class _Line(msgspec.Struct):
    tkn: str
    keys: msgspec.Raw
    expiry: _Expiry | None = None
    expires: datetime | None = None


_decode = msgspec.json.Decoder(_Line).decode


class ExportedSession(NamedTuple):
    """A session of a file: its token, its expiry, the moment at which it would have ended unused, and its keys."""

    tkn: SessionToken
    expiry: ExpirySettings
    expires: datetime | None
    keys: Mapping[str, bytes]

    def has_expired(self, now: datetime) -> bool:
        """Return True if it would have ended by now, had it not been used since the export."""
        return self.expires is not None and self.expires <= now


def exported_line(facts: SessionFacts, keys: Mapping[str, bytes]) -> bytes:
    """Return the line of a session, with its line break."""
    expiry = facts.timing.expiry
    head: dict[str, Any] = {
        "tkn": str(facts.tkn),
        "schema": facts.schema,
        "namespace": facts.namespace,
        "expires": facts.expires,
        "expiry": expiry_parameter(expiry) if expiry.duration else None,
    }
    text = ObjectText.joined(keys).text
    if b"\n" in text or b"\r" in text:  # values are kept as they were sent
        text = msgspec.json.format(text, indent=-1)
    return b'%b,"keys":%b}\n' % (json.dumps(head).encode()[:-1], text)


def parsed_line(line: bytes, source: str, number: int) -> ExportedSession:
    """Return the session of a line.

    Args:
        line: the line.
        source: the name of its file, for errors.
        number: the number of the line, from 1, for errors.

    Raises:
        InvalidArgumentError: the line is no exported session. The message gives the reason, and repeats no value.
    """
    try:
        read = _decode(line)
        keys = ObjectText(bytes(read.keys)).split()
    except UNREADABLE:
        raise_without_context(_error(source, number, "this is no session as `sessions export` writes it"))
    if not (read.tkn.isascii() and read.tkn.isdigit() and len(read.tkn) <= _LONGEST_TOKEN):
        raise _error(source, number, "tkn is no token: an unsigned 64-bit integer, as a text")
    tkn = int(read.tkn)
    if not 0 < tkn < _LARGEST:
        raise _error(source, number, "tkn is out of range")
    if not keys:
        raise _error(source, number, "the session has no keys")
    envelope = read_envelope(keys[RESERVED_KEY]) if RESERVED_KEY in keys else None
    if RESERVED_KEY in keys and (envelope is None or envelope.tkn != tkn):
        raise _error(source, number, f"the key {RESERVED_KEY} is of another session, so readers would refuse this one")
    expiry = None if read.expiry is None else msgspec.to_builtins(read.expiry)
    if read.expiry is not None and not (read.expiry.duration > 0 and read.expiry.touchEvery >= 0):
        raise _error(source, number, "the durations of expiry are positive numbers of seconds")
    expires = read.expires
    if expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    return ExportedSession(tkn, settings_in(expiry), expires, keys)


def _error(source: str, number: int, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{source}, line {number}: {reason}")
