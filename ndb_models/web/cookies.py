"""The cookie of a session: read from the headers of a request, and written for an answer. No I/O.

Follows RFC 6265bis. Browsers take a cookie named `__Host-...` only over TLS, from the host itself, for the whole host.
So neither a subdomain nor an attacker in the network can plant one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from ndb_models.errors import InvalidArgumentError
from ndb_models.web.request_headers import COOKIE, headers_by_name

SameSite = Literal["lax", "strict", "none"]

HOST_PREFIX: Final = "__Host-"
_SECURE_PREFIX: Final = "__Secure-"

LONGEST: Final = 400 * 86400
"""Seconds that a browser keeps a cookie at most."""

# Browsers send the same cookies with many requests. So many headers are kept parsed: at most 2 MB.
_PARSED: Final = 2048
_USUAL_LENGTH: Final = 512

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH: Final = re.compile(r"/[^;\x00-\x1f\x7f-\U0010ffff]*")


class ShownCookie(NamedTuple):
    """One cookie of a request.

    `text` is its value. It is None without a cookie of this name, and with several different ones: none can be trusted.
    `is_shown` is True if there is at least one.
    """

    text: str | None
    is_shown: bool


NO_COOKIE: Final = ShownCookie(None, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieSettings:
    """How the cookie of a session is set. It is always `HttpOnly`.

    Args:
        name: its name. With the prefix `__Host-`, which is recommended, browsers take it from this very host alone.
        secure: it is sent over TLS only.
        same_site: `"lax"`: other sites' links show it, their forms and scripts do not. `"strict"`: links do not either.
            `"none"`: all requests show it; CSRF checks are then all there is.
        partitioned: inside of another site's frame, the cookie belongs to that site (CHIPS).
        path: the paths that it is sent for.

    Raises:
        InvalidArgumentError: a value is wrong, or browsers would refuse the combination.
    """

    name: str = HOST_PREFIX + "session"
    secure: bool = True
    same_site: SameSite = "lax"
    partitioned: bool = False
    path: str = "/"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def in_development(self) -> CookieSettings:
        """The same for plain HTTP on one's own machine: without `Secure`, and without the prefix that needs it."""
        name = self.name.removeprefix(HOST_PREFIX).removeprefix(_SECURE_PREFIX)
        same_site: SameSite = "lax" if self.same_site == "none" else self.same_site
        return CookieSettings(name=name, secure=False, same_site=same_site, path=self.path)

    def header(self, value: str, max_age: int | None) -> bytes:
        """Return the value of a `Set-Cookie` header.

        Args:
            value: the value of the cookie.
            max_age: seconds that the browser keeps it; None for until the browser ends.
        """
        return b"%b=%b%b%b" % (
            self.name.encode(),
            value.encode(),
            b"" if max_age is None else b"; Max-Age=%d" % max_age,
            self._attributes,
        )

    @property
    def clearing_header(self) -> bytes:
        """The value of a `Set-Cookie` header that removes the cookie."""
        return self.header("", 0)

    @property
    def _attributes(self) -> bytes:
        same_site = self.same_site.capitalize()
        text = f"; Path={self.path}; HttpOnly{'; Secure' if self.secure else ''}; SameSite={same_site}"
        return (text + ("; Partitioned" if self.partitioned else "")).encode()


def _check(settings: CookieSettings) -> None:
    given: tuple[object, object, object] = (settings.name, settings.path, settings.same_site)
    if not (isinstance(given[0], str) and _NAME.fullmatch(given[0])):
        raise InvalidArgumentError("the name of a cookie is made of letters, digits and !#$%&'*+.^_`|~-")
    if not (isinstance(given[1], str) and _PATH.fullmatch(given[1])):
        raise InvalidArgumentError("the path of a cookie begins with / and has neither ; nor control characters")
    if given[2] not in ("lax", "strict", "none"):
        raise InvalidArgumentError('same_site= is "lax", "strict" or "none"')
    for name in ("secure", "partitioned"):
        if not isinstance(getattr(settings, name), bool):
            raise InvalidArgumentError(f"{name}= is True or False")
    if settings.secure:
        if settings.name.startswith(HOST_PREFIX) and settings.path != "/":
            raise InvalidArgumentError("a cookie named __Host-... has path='/': browsers refuse another one")
        return
    if settings.name.startswith((HOST_PREFIX, _SECURE_PREFIX)):
        raise InvalidArgumentError("browsers refuse a cookie named __Host-... or __Secure-... without secure=True")
    if settings.same_site == "none" or settings.partitioned:
        raise InvalidArgumentError("browsers refuse same_site='none' and partitioned=True without secure=True")


def shown_cookie(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> ShownCookie:
    """Return the cookie with this name from the headers of a request.

    The cookies may stand in several headers, as HTTP/2 sends them. The names of headers are in lower case.
    """
    line = headers_by_name(headers).get(COOKIE)
    if line is None or name not in line:
        return NO_COOKIE
    return _shown_again(line, name) if len(line) <= _USUAL_LENGTH else _shown(line, name)


def _shown(line: bytes, name: bytes) -> ShownCookie:
    found: bytes | None = None
    for pair in line.split(b";"):
        key, equals, value = pair.partition(b"=")
        if equals and key.strip(b" \t") == name:
            value = value.strip(b" \t")
            if found is not None and found != value:
                return ShownCookie(None, True)
            found = value
    return NO_COOKIE if found is None else ShownCookie(found.decode("latin-1"), True)


_shown_again: Final = lru_cache(maxsize=_PARSED)(_shown)
