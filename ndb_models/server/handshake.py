"""Where a client's HTTP request ends: what comes behind it may be frames already."""

from __future__ import annotations

from typing import Final

_END: Final = b"\r\n\r\n"


class RequestEnd:
    """Finds the end of the first HTTP request in a stream, whatever pieces it comes in."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        # The last bytes that came: the end may be cut.
        self._tail = b""

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what of these bytes belongs to the request, and what comes behind it."""
        seen = self._tail + data
        found = seen.find(_END)
        if found < 0:
            self._tail = seen[1 - len(_END) :]
            return data, b""
        end = found + len(_END) - len(self._tail)
        return data[:end], data[end:]
