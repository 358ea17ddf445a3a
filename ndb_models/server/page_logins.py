"""Logins to the status page: a bearer token for admins becomes a cookie, which the page's scripts cannot read.

A cookie holds its end, a random number, and a keyed hash (HMAC-SHA-256) of both and of the digest of the admin's token.
So no worker keeps a list of logins, all of them know every login, and a token that is removed at a reload ends its
logins. Logging out is noted in memory that the workers share.
"""

from __future__ import annotations

import base64
import hmac
import mmap
import secrets
import struct
from collections.abc import Iterable
from typing import Final

from ndb_models.server.tokens import Role, Tokens

LASTS: Final = 8 * 60 * 60
"""Seconds after which a person logs in again."""

COOKIE: Final = "ndb_dashboard"
SECURE_COOKIE: Final = f"__Secure-{COOKIE}"
"""The name of the cookie where the page comes over TLS."""

_HEAD: Final = struct.Struct(">QQ")
_MAC_BYTES: Final = 32
_CHARACTERS: Final = 64
_LOGGED_OUT: Final = 1024
_CODE_BYTES: Final = 24


class SharedLogins:
    """The facts about logins that all workers share. Make this before forking them.

    Attributes:
        key: random bytes of this run of the server.
        code: a token that logs in while the server has no tokens. It belongs to this run.
    """

    def __init__(self) -> None:
        self.key: bytes = secrets.token_bytes(_MAC_BYTES)
        self.code: str = secrets.token_urlsafe(_CODE_BYTES)
        self._own = Tokens([(Role.ADMIN, self.code)])
        # The numbers of logins that were ended, and how many there ever were: the oldest makes room for the latest.
        self._ended = memoryview(mmap.mmap(-1, 8 * (_LOGGED_OUT + 1))).cast("Q")

    def __repr__(self) -> str:
        return "<SharedLogins>"

    def tokens_for(self, tokens: Tokens | None) -> Tokens:
        """Return the tokens that log in: the server's, or this run's own while it has none."""
        return self._own if tokens is None else tokens

    def log_in(self, digest: bytes, now: float) -> str:
        """Return the content of the cookie for an admin whose token has this digest."""
        head = _HEAD.pack(int(now) + LASTS, secrets.randbits(64))
        return base64.urlsafe_b64encode(head + self._mac(head, digest)).decode()

    def is_valid(self, cookie: str, admins: Iterable[bytes], now: float) -> bool:
        """Tell whether a cookie is of a login that lasts, by a token that still is an admin's. Never raises."""
        head, mac = _split(cookie)
        if head is None or not any(hmac.compare_digest(mac, self._mac(head, digest)) for digest in admins):
            return False
        until, number = _HEAD.unpack(head)
        return bool(now < until <= now + LASTS + 1 and number not in self._ended[1:])

    def log_out(self, cookie: str) -> None:
        """End a valid login, before its time."""
        head, _ = _split(cookie)
        if head is not None:
            self._ended[1 + self._ended[0] % _LOGGED_OUT] = _HEAD.unpack(head)[1]
            self._ended[0] += 1

    def _mac(self, head: bytes, digest: bytes) -> bytes:
        return hmac.digest(self.key, b"ndb_models: login to the page:" + head + digest, "sha256")


def set_cookie(content: str | None, *, secure: bool) -> str:
    """Return the value of a `Set-Cookie` header; None as the content removes the cookie.

    It names no path: the browser then sends the cookie to the calls of the page alone, under whatever path a proxy
    serves them.
    """
    name = SECURE_COOKIE if secure else COOKIE
    age = 0 if content is None else LASTS
    tail = "; Secure" if secure else ""
    return f"{name}={content or ''}; Max-Age={age}; HttpOnly; SameSite=Strict{tail}"


def cookie_in(header: str) -> str:
    """Return the content of the cookie in a `Cookie` header; an empty text if there is none, or more than one."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    found = [content for name, _, content in pairs if name in (COOKIE, SECURE_COOKIE)]
    return found[0] if len(found) == 1 else ""


def _split(cookie: str) -> tuple[bytes | None, bytes]:
    if len(cookie) != _CHARACTERS or not cookie.isascii():
        return None, b""
    try:
        decoded = base64.urlsafe_b64decode(cookie)
    except ValueError:
        return None, b""
    return (decoded[: _HEAD.size], decoded[_HEAD.size :]) if len(decoded) == _HEAD.size + _MAC_BYTES else (None, b"")
