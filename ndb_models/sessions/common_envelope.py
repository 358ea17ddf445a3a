"""The reserved key of nearly all sessions of a schema, which is not parsed at each read."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from ndb_models.json_text import NO_MEMBERS, ObjectText, and_last
from ndb_models.schema.envelope import RESERVED_KEY, RESERVED_START, Envelope, read_envelope, write_envelope
from ndb_models.sessions.reading import Read
from ndb_models.types import SessionToken

_encode: Final = msgspec.json.Encoder().encode

_NAMED: Final = len(RESERVED_START)
_CLOSING: Final = ord("}")

# Most reads find the reserved key of the read before. This keeps at most 4 MB, for keys of usual length.
_USUAL_LENGTH: Final = 512
_read_once = lru_cache(maxsize=4096)(read_envelope)


class CommonEnvelope:
    """The reserved key of nearly all sessions of a schema, as the end of the text of their keys.

    Nearly all sessions are of the current version, expire as their class says, and were never written back. Their
    reserved key is added without being encoded, and recognised without being decoded, up to the token.

    Args:
        envelope: the contents of the key, without the token.
    """

    __slots__ = ("_all_names", "_alone", "_is_untimed", "_names", "_opening", "_start", "envelope")

    def __init__(self, envelope: Envelope) -> None:
        self.envelope: Envelope = envelope
        """The contents of the key, without the token."""
        self._opening = b'%b,"tkn":' % write_envelope(envelope)[:-1]
        self._start = RESERVED_START + self._opening
        self._alone = b"{" + self._start[1:]
        self._is_untimed = envelope.absolute is None
        # The latest names, mostly the class's; and the same names with the reserved key.
        self._names: tuple[str, ...] = ()
        self._all_names: tuple[str, ...] = (RESERVED_KEY,)

    def text_for(self, tkn: SessionToken) -> bytes | None:
        """Return the text of the key; None if it has a deadline, which differs from session to session."""
        return self._opening + _encode(tkn) + b"}" if self._is_untimed else None

    def append_to(self, keys: ObjectText, tkn: SessionToken, deadline: int | None = None) -> ObjectText:
        """Return a session's keys with the reserved one, as `with_envelope` does."""
        end = b"}}" if deadline is None else b',"deadline":%d}}' % deadline
        names = keys.known_names or keys.names
        if not names:
            return keys.with_last(RESERVED_KEY, self._opening + _encode(tkn) + end[:-1])
        if names is not self._names:
            self._names, self._all_names = names, and_last(names, RESERVED_KEY)
        return ObjectText(b"".join((keys.text[:-1], self._start, _encode(tkn), end)), self._all_names)

    def read_from(self, text: bytes, tkn: SessionToken) -> Read | None:
        """Return the read of a session whose keys have this text; None if the reserved key is another one.

        The text without the key is an object only if the whole text was, so the caller has to read it as one.
        """
        if self._is_untimed:
            # Quicker than formatting the token.
            last = self._start + _encode(tkn) + b"}}"
            before = text.removesuffix(last)
            if before is not text:
                return Read(before + b"}", self.envelope, last[_NAMED:-1], True)
            if text[1:] == last[1:]:  # no other key was asked for
                return Read(NO_MEMBERS, self.envelope, last[_NAMED:-1], True)
        before, found, rest = text.rpartition(self._start)
        if not found:
            if not text.startswith(self._alone):
                return None
            before, rest = b"{", text[len(self._alone) :]
        reserved = self._opening + rest[:-1]
        envelope = _read_once(reserved) if len(reserved) <= _USUAL_LENGTH else read_envelope(reserved)
        if envelope is None or envelope.tkn != tkn or envelope.own or envelope.upgraded or text[-1] != _CLOSING:
            return None
        if (envelope.deadline is None) is not self._is_untimed:
            return None
        return Read(before + b"}", envelope, reserved, True)
