"""WebSocket framing (RFC 6455, section 5), as much of it as goes through here a hundred thousand times a second.

Nearly all frames are whole text messages. They are read and written here, without the objects that a general
implementation makes of each. Everything else (control frames, binary and fragmented messages, frames that break a rule
or a limit) is handed on, frame by frame and to the byte, to the library that holds the connection.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

WHOLE_TEXT: Final = 0x81
"""The first byte of a frame that is a whole text message: FIN, no extension bits, opcode 1."""

_FINAL: Final = 0x80
_OPCODE: Final = 0x0F
_FIRST_CONTROL_OPCODE: Final = 8
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127

ApplyMask: TypeAlias = Callable[[bytes, bytes], bytes]


class OtherFrame(bytes):
    """A frame that is no whole text message, as it came: for the library that holds the connection."""

    __slots__ = ()


class FrameReader:
    """Cuts a stream of bytes into frames.

    Args:
        masked: whether the other side is a client, whose frames are masked.
        apply_mask: XORs data with a four-byte mask.
        max_size: the largest payload; of a larger one all that comes is handed on, for the library to refuse.
    """

    def __init__(self, *, masked: bool, apply_mask: ApplyMask, max_size: int) -> None:
        self._masked = masked
        self._apply_mask = apply_mask
        self._max_size = max_size
        # What came of the frame that is coming in, in pieces, and how long it is at the least.
        self._pieces: list[bytes] = []
        self._have = 0
        self._awaited = 2
        # Whether a message has begun whose last frame has not come: a whole message is then a breach of the rules.
        self._fragmented = False
        # Whether a frame was too large: what comes behind it cannot be told from what is in it.
        self._lost = False

    @property
    def has_begun(self) -> bool:
        """Whether a message, or a frame, has begun to come in whose end has not come."""
        return self._fragmented or bool(self._pieces)

    @property
    def size(self) -> int:
        """How many bytes are held of a frame whose end has not come."""
        return self._have if self._pieces else 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came in, and return what it completes, in order.

        Of whole text messages this is the payload; all others are an `OtherFrame` each.
        """
        if self._lost:
            return [OtherFrame(data)]
        if self._pieces and not (data := self._gathered(data)):
            return []
        complete: list[bytes] = []
        start, end = 0 if self._fragmented else self._feed_usual(data, complete), len(data)
        self._awaited = 2
        while end - start >= 2:
            second = data[start + 1]
            length = second & _LENGTH
            payload = start + 2
            if length == _TWO_BYTES:
                payload += 2
                length = int.from_bytes(data[start + 2 : payload])
            elif length == _EIGHT_BYTES:
                payload += 8
                length = int.from_bytes(data[start + 2 : payload])
            masked = second & _MASKED
            if masked:
                payload += 4
            if payload > end:
                self._awaited = payload - start
                break
            stop = payload + length
            if length > self._max_size:
                complete.append(OtherFrame(data[start:]))
                start = end
                self._lost = True
                break
            if stop > end:
                self._awaited = stop - start
                break
            first = data[start]
            if first != WHOLE_TEXT or self._fragmented or bool(masked) is not self._masked:
                complete.append(OtherFrame(data[start:stop]))
                self._note_fragments(first)
            elif masked:
                complete.append(self._apply_mask(data[payload:stop], data[payload - 4 : payload]))
            else:
                complete.append(data[payload:stop])
            start = stop
            self._awaited = 2
        if start < end:
            self._pieces = [data[start:]]
            self._have = end - start
        return complete

    def _feed_usual(self, data: bytes, complete: list[bytes]) -> int:
        """Take the whole text messages below 64 KiB that data begins with; return where the rest begins."""
        start, end = 0, len(data)
        masked, mask_length = (_MASKED, 4) if self._masked else (0, 0)
        while start + 4 <= end and data[start] == WHOLE_TEXT:
            length = data[start + 1] - masked
            payload = start + 2 + mask_length
            if length == _TWO_BYTES:
                length = data[start + 2] << 8 | data[start + 3]
                payload += 2
            elif not 0 <= length < _TWO_BYTES:
                break
            stop = payload + length
            if stop > end or length > self._max_size:
                break
            content = data[payload:stop]
            complete.append(self._apply_mask(content, data[payload - 4 : payload]) if masked else content)
            start = stop
        return start

    def _note_fragments(self, first: int) -> None:
        """Remember whether a frame leaves its message open; control frames may come between (RFC 6455, section 5.4)."""
        if first & _OPCODE < _FIRST_CONTROL_OPCODE:
            self._fragmented = not first & _FINAL

    def _gathered(self, data: bytes) -> bytes:
        """Return all that came of a frame, or nothing while it is less than is awaited: else joining would add up."""
        self._pieces.append(data)
        self._have += len(data)
        if self._have < self._awaited:
            return b""
        data = b"".join(self._pieces)
        self._pieces = []
        return data


def text_frame(payload: bytes) -> bytes:
    """Return a text message as one frame of a server, which is not masked."""
    return _header(len(payload), 0) + payload


class MaskedFrameWriter:
    """Writes text messages as frames of a client, each under a mask that nobody can foresee (RFC 6455, section 5.3)."""

    _MASKS_AT_ONCE: Final = 1024

    def __init__(self, apply_mask: ApplyMask) -> None:
        self._apply_mask = apply_mask
        self._masks = b""
        self._next = 0

    def text_frames(self, payloads: Sequence[bytes]) -> bytes:
        """Return text messages, each as one frame."""
        parts: list[bytes] = []
        apply_mask, masks, position = self._apply_mask, self._masks, self._next
        small = _SMALL_HEADERS[_MASKED]
        for payload in payloads:
            if position >= len(masks):
                self._masks = masks = os.urandom(4 * self._MASKS_AT_ONCE)
                position = 0
            mask = masks[position : position + 4]
            position += 4
            size = len(payload)
            header = small[size] if size < _TWO_BYTES else _header(size, _MASKED)
            parts += header, mask, apply_mask(payload, mask)
        self._next = position
        return b"".join(parts)


_MEDIUM_HEADER: Final = struct.Struct(">BBH").pack
_SMALL_HEADERS: Final = {
    masked: [bytes((WHOLE_TEXT, masked | length)) for length in range(_TWO_BYTES)] for masked in (0, _MASKED)
}


def _header(length: int, masked: int) -> bytes:
    if length < _TWO_BYTES:
        return _SMALL_HEADERS[masked][length]
    if length < 1 << 16:
        return _MEDIUM_HEADER(WHOLE_TEXT, masked | _TWO_BYTES, length)
    return bytes((WHOLE_TEXT, masked | _EIGHT_BYTES)) + length.to_bytes(8)
