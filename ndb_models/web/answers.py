"""The headers of an answer that depends on a session. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Headers = list[tuple[bytes, bytes]]

_VARY: Final = b"vary"
_CACHE_CONTROL: Final = b"cache-control"

_VARY_COOKIE: Final = (_VARY, b"Cookie")
_PRIVATE: Final = (_CACHE_CONTROL, b"private")

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
    result: Headers = [*headers]
    given = dict(result)
    if _VARY not in given or not any(name == _VARY and _varies_by_cookie(value) for name, value in result):
        result.append(_VARY_COOKIE)
    if _CACHE_CONTROL not in given:
        if is_private or set_cookie is not None:
            result.append(_PRIVATE)
    elif set_cookie is not None:
        result = [(name, _without_sharing(value) if name == _CACHE_CONTROL else value) for name, value in result]
    if set_cookie is not None:
        result.append((b"set-cookie", set_cookie))
    return result


def _varies_by_cookie(value: bytes) -> bool:
    return any(part.strip().lower() in (b"cookie", b"*") for part in value.split(b","))


def _without_sharing(value: bytes) -> bytes:
    """Return the value of a `Cache-Control` header that keeps shared caches from storing the answer."""
    parts = [part.strip() for part in value.split(b",")]
    kept = [part for part in parts if part and part.lower().partition(b"=")[0] not in _SHARED]
    if not any(part.lower() in (b"private", b"no-store") for part in kept):
        kept.append(b"private")
    return b", ".join(kept)
