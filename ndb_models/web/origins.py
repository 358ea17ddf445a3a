"""Origins, as browsers compare them: scheme, host and port (RFC 6454).

No I/O. An origin in its normal form has a lower-case scheme and host, and its port in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final

from ndb_models.errors import InvalidArgumentError

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# A WebSocket has the origin of the page's scheme.
_OF_WEBSOCKETS: Final = {"ws": "http", "wss": "https"}
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]{0,31})://(\[[0-9a-f:.]{2,45}\]|[a-z0-9._~-]{1,253})(?::([0-9]{0,5}))?")
_PARTS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#@:\[\]]+)(:[0-9]+)?")

# Letters that browsers and Python's codec write differently in ASCII.
_DEVIATING: Final = frozenset("ßẞς\u200c\u200d")


def normal_origin(text: str) -> str | None:
    """Return the normal form of the text of an `Origin` header, or None for any other text, `null` included."""
    match = _ORIGIN.fullmatch(text.lower()) if text.isascii() else None
    if match is None:
        return None
    scheme, host, port_text = match.groups()
    port = int(port_text) if port_text else _DEFAULT_PORTS.get(scheme, 0)
    if port > 0xFFFF:
        return None
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1]).exploded}]"
        except ValueError:
            return None
    return f"{scheme}://{host}:{port}"


def origin_of_request(scheme: str, host: str | None) -> str | None:
    """Return the origin that a request was sent to, or None if its `Host` header is missing or malformed.

    Args:
        scheme: `http`, `https`, `ws` or `wss`, as the server tells it.
        host: the `Host` header.
    """
    return None if host is None else normal_origin(f"{_OF_WEBSOCKETS.get(scheme, scheme)}://{host}")


def trusted(origins: Iterable[str]) -> frozenset[str]:
    """Return the normal forms of origins that a program trusts.

    A name in other letters than ASCII is taken as browsers send it, `xn--...`. A slash at the end is left out.

    Raises:
        InvalidArgumentError: one is no origin.
    """
    if isinstance(origins, (str, bytes)):
        raise InvalidArgumentError('trusted_origins= is a list of origins: trusted_origins=["https://example.com"]')
    return frozenset(map(_trusted, origins))


def _trusted(origin: object) -> str:
    text = origin if isinstance(origin, str) else ""
    if text == "null":
        raise InvalidArgumentError('trusted_origins=: "null" is the origin of any sandboxed page; it cannot be trusted')
    normal = normal_origin(_in_ascii(text.removesuffix("/")))
    if normal is None:
        raise InvalidArgumentError(
            f"trusted_origins=: {text!r} is no origin; name each one by scheme, host and port alone, as in"
            ' "https://example.com" or "http://localhost:5173", without a path and without *'
        )
    return normal


def _in_ascii(text: str) -> str:
    """Return an origin with its host in ASCII. A text that is no origin is returned as it is."""
    match = None if text.isascii() else _PARTS.fullmatch(text)
    if match is None:
        return text
    scheme, host, port = match.groups(default="")
    if _DEVIATING.intersection(host):
        raise InvalidArgumentError(
            f"trusted_origins=: write {text!r} in the ASCII form that browsers show in the Origin header (xn--...)"
        )
    try:
        return f"{scheme}://{host.encode('idna').decode()}{port}"
    except UnicodeError:
        return text
