"""Checks names of data sets: the client before it sends one, the engine before it looks at the disk."""

from __future__ import annotations

from typing import Final

_MOST_BYTES: Final = 255  # of a path segment, on common file systems
_SEPARATORS: Final = frozenset("/\\:")  # the colon ends a drive's letter


def why_not_a_data_set(name: object) -> str | None:
    """Return why a value cannot name a data set, without quoting the value; None if it can.

    A name is one path segment on every system: a str of printable characters, 1 to 255 bytes as UTF-8. It holds no
    slash, backslash or colon, and does not start with a dot.
    """
    if not isinstance(name, str):
        return f"the name of a data set is a str, not a {type(name).__name__}"
    if not name:
        return "the name of a data set must not be empty"
    if name.startswith(".") or not _SEPARATORS.isdisjoint(name):
        return "the name of a data set is one path segment that does not start with a dot: no '/', '\\' or ':'"
    if not name.isprintable():
        return "the name of a data set holds only printable characters"
    if len(name.encode()) > _MOST_BYTES:  # a lone surrogate is not printable
        return f"the name of a data set has at most {_MOST_BYTES} bytes of UTF-8"
    return None
