"""The headers of an answer that depends on a session. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Headers = list[tuple[bytes, bytes]]

_SHARED: Final = (b"public", b"s-maxage")


def with_cookie_headers(
    headers: Iterable[tuple[bytes, bytes]], set_cookie: bytes | None, *, is_private: bool
) -> Headers:
    """Return the headers of an answer, with those that a session asks for.

    `Vary: Cookie` in any case. `Cache-Control: private`, unless the application says something else; an answer that
    sets a cookie is always private.

    Args:
        headers: the headers of the application. Their names are in lower case.
        set_cookie: the value of a `Set-Cookie` header; None for none.
        is_private: the answer depends on a session.
    """
    result: Headers = []
    vary = caching = False
    for name, value in headers:
        if name == b"vary":
            vary = vary or any(part.strip().lower() in (b"cookie", b"*") for part in value.split(b","))
        elif name == b"cache-control":
            caching = True
            if set_cookie is not None:
                value = _without_sharing(value)
        result.append((name, value))
    if not vary:
        result.append((b"vary", b"Cookie"))
    if not caching and (is_private or set_cookie is not None):
        result.append((b"cache-control", b"private"))
    if set_cookie is not None:
        result.append((b"set-cookie", set_cookie))
    return result


def _without_sharing(value: bytes) -> bytes:
    """Return the value of a `Cache-Control` header that keeps shared caches from storing the answer."""
    parts = [part.strip() for part in value.split(b",")]
    kept = [part for part in parts if part and part.lower().partition(b"=")[0] not in _SHARED]
    if not any(part.lower() in (b"private", b"no-store") for part in kept):
        kept.append(b"private")
    return b", ".join(kept)
