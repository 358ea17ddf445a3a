"""Find the end of a client's HTTP request: the bytes after it may be frames already."""

from __future__ import annotations

from typing import Final

_END: Final = b"\r\n\r\n"


class RequestEnd:
    """Finds the end of the first HTTP request in a stream, in pieces of any size."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        # The last bytes of the stream so far: the end mark may span two pieces.
        self._tail = b""

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Split the next bytes of the stream into a part of the request and the rest after it."""
        seen = self._tail + data
        found = seen.find(_END)
        if found < 0:
            self._tail = seen[1 - len(_END) :]
            return data, b""
        end = found + len(_END) - len(self._tail)
        return data[:end], data[end:]
