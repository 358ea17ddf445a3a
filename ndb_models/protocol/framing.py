"""WebSocket framing (RFC 6455, section 5), for the part of it that runs a hundred thousand times a second.

Nearly all frames are whole text messages. They are read and written here, without the objects that a general
implementation makes for each. Control frames, and binary and fragmented messages, go frame by frame and byte for byte
to the library that holds the connection. A frame that breaks a rule or a limit is refused by its header.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

WHOLE_TEXT: Final = 0x81
"""The first byte of a frame that is a whole text message: FIN, no extension bits, opcode 1."""

_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_OPCODES: Final = frozenset((0, 1, 2, 8, 9, 10))
_CONTINUATION: Final = 0
_FIRST_CONTROL_OPCODE: Final = 8
_CLOSE: Final = 8
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
# The number of bytes that a longer length takes, and the least length that may take so many.
_LENGTH_BYTES: Final = {_TWO_BYTES: 2, _EIGHT_BYTES: 8}
_LEAST: Final = {2: _TWO_BYTES, 8: 1 << 16}
_PROTOCOL_ERROR: Final = 1002
_MESSAGE_TOO_BIG: Final = 1009

ApplyMask: TypeAlias = Callable[[bytes, bytes], bytes]


class OtherFrame(bytes):
    """A frame, as it came, that is not a whole text message: for the library that holds the connection."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Breach:
    """A frame with a header that breaks a rule or a limit. The frame is refused, and so is all data after it.

    Attributes:
        code: the code to close the connection with (RFC 6455, section 7.4.1): 1002 or 1009.
        reason: the text to send with the code.
    """

    code: int
    reason: str


Part: TypeAlias = bytes | Breach
"""The payload of a whole text message, an `OtherFrame`, or a `Breach`."""


def is_last(part: Part) -> bool:
    """Tell whether this part is a breach or a close frame: all data after it is ignored."""
    return isinstance(part, Breach) or (type(part) is OtherFrame and part[0] & _OPCODE == _CLOSE)


_RESERVED_BITS: Final = Breach(_PROTOCOL_ERROR, "reserved bits must be 0")
_INVALID_OPCODE: Final = Breach(_PROTOCOL_ERROR, "invalid opcode")
_INCORRECT_MASKING: Final = Breach(_PROTOCOL_ERROR, "incorrect masking")
_FRAGMENTED_CONTROL: Final = Breach(_PROTOCOL_ERROR, "fragmented control frame")
_LONG_CONTROL: Final = Breach(_PROTOCOL_ERROR, "control frame too long")
_NOTHING_TO_CONTINUE: Final = Breach(_PROTOCOL_ERROR, "unexpected continuation frame")
_NOT_CONTINUED: Final = Breach(_PROTOCOL_ERROR, "expected a continuation frame")
_LONG_LENGTH: Final = Breach(_PROTOCOL_ERROR, "the length of a frame must be written in the fewest bytes")


class FrameReader:
    """Cuts a stream of bytes into frames.

    A frame is judged as soon as its header is here, without waiting for its payload. `feed` itself cuts whole text
    messages; `_cut` handles all other frames.

    Args:
        masked: true if the other side is a client, which masks its frames.
        apply_mask: XORs data with a four-byte mask.
        max_size: the size of the largest message in bytes, also if it comes in fragments.

    Attributes:
        has_parts: true if `feed` may return parts without further data.
        has_begun: true if a message or a frame has begun to come in and is not complete.
    """

    def __init__(self, *, masked: bool, apply_mask: ApplyMask, max_size: int) -> None:
        self.has_parts: bool = False
        self.has_begun: bool = False
        self._masked = masked
        self._apply_mask = apply_mask
        self._max_size = max_size
        # The data that is not cut yet, in pieces. The first piece counts from `_start` on. `_have` is the size of the
        # data in bytes, `_awaited` the size that it must reach before a frame can be cut.
        self._pieces: list[bytes] = []
        self._start = 0
        self._have = 0
        self._awaited = 2
        # Parts that were cut and given back.
        self._given_back: list[Part] = []
        # True if a fragmented message is not complete; and its size so far.
        self._fragmented = False
        self._size = 0
        # True after a breach or a close frame: all data after it is ignored.
        self._ended = False

    @property
    def size(self) -> int:
        """The number of bytes held: data that is not cut yet, and parts that were given back."""
        return self._have + sum(len(part) for part in self._given_back if isinstance(part, bytes))

    def add(self, data: bytes) -> None:
        """Take data that came in, for `feed` to cut later."""
        if data and not self._ended:
            self._pieces.append(data)
            self._have += len(data)
            self.has_parts = self.has_begun = True

    def give_back(self, parts: list[Part]) -> None:
        """Take back the last parts that `feed` returned; it returns them next."""
        self._given_back = parts
        self.has_parts = True

    def feed(self, data: bytes = b"", most: int = sys.maxsize) -> list[Part]:
        """Take data that came in, and return the complete parts in order, `most` at most.

        Parts that were given back come first, by themselves and all at once. A breach or a close frame is the last part
        that is ever cut.
        """
        self.has_parts = False
        if self._given_back:
            return self._taken_back(data)
        if self._ended:
            return []
        start = 0
        if self._pieces:
            if data:
                self._pieces.append(data)
                self._have += len(data)
            if self._have < self._awaited:
                return []
            data, start = self._joined()
        self._awaited = 2
        parts: list[Part] = []
        end = len(data)
        masked, mask_length = (_MASKED, 4) if self._masked else (0, 0)
        # Whole text messages below 64 KiB.
        while not self._fragmented and start + 4 <= end and data[start] == WHOLE_TEXT and len(parts) < most:
            length = data[start + 1] - masked
            payload = start + 2 + mask_length
            if length == _TWO_BYTES:
                length = data[start + 2] << 8 | data[start + 3]
                payload += 2
                if length < _TWO_BYTES:
                    break
            elif not 0 <= length < _TWO_BYTES:
                break
            stop = payload + length
            if stop > end or length > self._max_size:
                break
            content = data[payload:stop]
            parts.append(self._apply_mask(content, data[payload - 4 : payload]) if masked else content)
            start = stop
        if start < end and len(parts) < most:
            start = self._cut(data, start, most, parts)
        if start < end:
            self._keep(data, start, may_have_parts=len(parts) == most)
        else:
            self.has_begun = self._fragmented and not self._ended
        return parts

    def _taken_back(self, data: bytes) -> list[Part]:
        """Hold the data, and return the parts that were given back."""
        self.add(data)
        self.has_parts = bool(self._pieces)
        given_back, self._given_back = self._given_back, []
        return given_back

    def _joined(self) -> tuple[bytes, int]:
        """Return the data that was held, and where its first frame begins."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        self._have = 0
        start, self._start = self._start, 0
        return data, start

    def _keep(self, data: bytes, start: int, *, may_have_parts: bool) -> None:
        """Keep the data that is not cut yet. While there may be parts in it, it is not copied."""
        self._have = len(data) - start
        self.has_begun = True
        self.has_parts = may_have_parts
        if may_have_parts:
            self._start = start
            self._pieces.append(data)
        else:
            self._pieces.append(data[start:])

    def _cut(self, data: bytes, start: int, most: int, parts: list[Part]) -> int:
        """Cut frames of any kind; return where the rest begins."""
        end = len(data)
        while end - start >= 2 and len(parts) < most:
            first, second = data[start], data[start + 1]
            length, payload = second & _LENGTH, start + 2
            breach = self._breach_of_kind(first, second)
            if breach is None and length >= _TWO_BYTES:
                size = _LENGTH_BYTES[length]
                payload += size
                if payload > end:
                    self._awaited = payload - start
                    break
                length = int.from_bytes(data[start + 2 : payload])
                if length < _LEAST[size]:
                    breach = _LONG_LENGTH
            if breach is None and first & _OPCODE < _FIRST_CONTROL_OPCODE:
                breach = self._breach_of_size(length)
            if breach is not None:
                parts.append(breach)
                self._ended = True
                return end
            payload += 4 if self._masked else 0
            stop = payload + length
            if stop > end:
                self._awaited = stop - start
                break
            if first != WHOLE_TEXT:
                parts.append(OtherFrame(data[start:stop]))
                if first & _OPCODE == _CLOSE:
                    self._ended = True
                    return end
                self._note_fragments(first, length)
            elif self._masked:
                parts.append(self._apply_mask(data[payload:stop], data[payload - 4 : payload]))
            else:
                parts.append(data[payload:stop])
            start = stop
        return start

    def _breach_of_kind(self, first: int, second: int) -> Breach | None:
        """Return the breach of a frame that begins with these two bytes, or None."""
        opcode = first & _OPCODE
        if first & _RESERVED:
            return _RESERVED_BITS
        if opcode not in _OPCODES:
            return _INVALID_OPCODE
        if bool(second & _MASKED) is not self._masked:
            return _INCORRECT_MASKING
        if opcode >= _FIRST_CONTROL_OPCODE:
            if not first & _FINAL:
                return _FRAGMENTED_CONTROL
            return _LONG_CONTROL if second & _LENGTH >= _TWO_BYTES else None
        if opcode == _CONTINUATION:
            return None if self._fragmented else _NOTHING_TO_CONTINUE
        return _NOT_CONTINUED if self._fragmented else None

    def _breach_of_size(self, length: int) -> Breach | None:
        """Return the breach of a data frame of this length, or None."""
        if length <= self._max_size - self._size:
            return None
        message = "message" if self._fragmented else "frame"
        return Breach(_MESSAGE_TOO_BIG, f"{message} exceeds the limit of {self._max_size} bytes")

    def _note_fragments(self, first: int, length: int) -> None:
        """Note whether a frame leaves its message open. Control frames may come between (RFC 6455, section 5.4)."""
        if first & _OPCODE < _FIRST_CONTROL_OPCODE:
            self._fragmented = not first & _FINAL
            self._size = self._size + length if self._fragmented else 0


def text_frame(payload: bytes) -> bytes:
    """Return a text message as one frame of a server, without a mask."""
    return _header(len(payload), 0) + payload


class MaskedFrameWriter:
    """Writes text messages as frames of a client, each under an unpredictable mask (RFC 6455, section 5.3)."""

    _MASKS_AT_ONCE: Final = 1024

    def __init__(self, apply_mask: ApplyMask) -> None:
        self._apply_mask = apply_mask
        self._masks = b""
        self._next = 0

    def text_frames(self, payloads: Sequence[bytes]) -> bytes:
        """Return the bytes of text messages, one frame each."""
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
