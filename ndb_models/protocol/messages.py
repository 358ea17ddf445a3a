"""Joins WebSocket frames into messages (RFC 6455, section 5.4)."""

from __future__ import annotations

from ndb_models.errors import ProtocolError


class MessageAssembler:
    """Joins the frames of one direction of a connection into messages. Most messages are one frame."""

    __slots__ = ("_fragments", "_partial")

    def __init__(self) -> None:
        self._fragments: list[bytes] = []
        self._partial = False

    @property
    def size(self) -> int:
        """The number of bytes held of an incomplete message."""
        return sum(map(len, self._fragments))

    def add(self, data: bytes, *, final: bool) -> bytes | None:
        """Take the payload of a frame; return the message if this was its last frame, else None."""
        if final and not self._partial:
            return data
        self._partial = not final
        if data:  # empty frames, which may come in any number, are not kept
            self._fragments.append(data)
        if not final:
            return None
        message = b"".join(self._fragments)
        self._fragments.clear()
        return message


def check_utf8(message: bytes) -> None:
    """Refuse a text message of invalid UTF-8 (RFC 6455, section 8.1).

    Raises:
        ProtocolError: the message is not UTF-8.
    """
    if not is_utf8(message):
        raise ProtocolError("the server sent text that is not UTF-8")


def is_utf8(message: bytes) -> bool:
    """Return True if a message is valid UTF-8."""
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True
