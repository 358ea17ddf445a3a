"""Names for sessions on the page. They open nothing: no token reaches the browser, its history or a proxy's log."""

from __future__ import annotations

import base64
import hmac
from typing import Final

from ndb_models.types import SessionToken

KEY_BYTES: Final = 32
"""The length of a key. Whoever has the key can turn names into tokens."""

_HALF: Final = 8
_CHARACTERS: Final = 22
_PADDING: Final = "=="


class SessionIds:
    """Turns tokens into names and back. A token has the same name each time, under one key.

    Args:
        key: random bytes. Processes that share it understand each other's names.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, tkn: SessionToken) -> str:
        """Return the name of a token: 22 URL-safe characters."""
        plain = tkn.to_bytes(_HALF)
        mark = self._digest(b"mark", plain)
        return base64.urlsafe_b64encode(mark + _xor(plain, self._digest(b"mask", mark))).decode().rstrip("=")

    def open(self, name: str) -> SessionToken | None:
        """Return the token that a name stands for. None for any other text, and for a name under another key."""
        if len(name) != _CHARACTERS or not name.isascii():
            return None
        try:
            sealed = base64.urlsafe_b64decode(name + _PADDING)
        except ValueError:
            return None
        if len(sealed) != 2 * _HALF:
            return None
        mark, masked = sealed[:_HALF], sealed[_HALF:]
        plain = _xor(masked, self._digest(b"mask", mark))
        tkn = int.from_bytes(plain)
        return tkn if hmac.compare_digest(self.seal(tkn), name) else None

    def _digest(self, purpose: bytes, text: bytes) -> bytes:
        return hmac.digest(self._key, b"ndb_models: name of a session: %b:%b" % (purpose, text), "sha256")[:_HALF]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
