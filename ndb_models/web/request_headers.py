"""The headers of a request, by their names. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

COOKIE: Final = b"cookie"
"""The name of the header with the cookies of a browser."""


def headers_by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers of a request by their names, which are in lower case.

    The values of a name that comes several times are joined: by commas, and cookies by semicolons, as HTTP/2 splits
    them.
    """
    listed = headers if isinstance(headers, list) else [*headers]
    found = dict(listed)
    if len(found) == len(listed):
        return found
    found.clear()
    for name, value in listed:
        joint = b"; " if name == COOKIE else b", "
        found[name] = found[name] + joint + value if name in found else value
    return found
