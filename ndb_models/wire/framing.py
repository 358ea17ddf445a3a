"""WebSocket framing (RFC 6455, section 5), as much of it as goes through here a hundred thousand times a second.

Nearly all frames are whole text messages. They are read and written here, without the objects that a general
implementation makes of each. Control frames, and binary and fragmented messages, are handed on, frame by frame and to
the byte, to the library that holds the connection. A frame that breaks a rule or a limit is refused by its header.
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
# In how many bytes a length follows, and the least that may be written in so many.
_LENGTH_BYTES: Final = {_TWO_BYTES: 2, _EIGHT_BYTES: 8}
_LEAST: Final = {2: _TWO_BYTES, 8: 1 << 16}
_PROTOCOL_ERROR: Final = 1002
_MESSAGE_TOO_BIG: Final = 1009

ApplyMask: TypeAlias = Callable[[bytes, bytes], bytes]


class OtherFrame(bytes):
    """A frame that is no whole text message, as it came: for the library that holds the connection."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Breach:
    """A frame whose header breaks a rule or a limit; nothing of it was accepted, and nothing behind it will be.

    Attributes:
        code: the code to close the connection with (RFC 6455, section 7.4.1): 1002 or 1009.
        reason: what to say with it.
    """

    code: int
    reason: str


Part: TypeAlias = bytes | Breach
"""The payload of a whole text message, an `OtherFrame`, or a `Breach`."""


def is_last(part: Part) -> bool:
    """Tell whether nothing counts that comes behind this part: a breach, or a close frame."""
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

    A frame is judged as soon as its header is here, and not when its payload has come. Whole text messages that come
    one after the other take the shortest way (`_cut_usual`); `_cut` decides about all the rest.

    Args:
        masked: whether the other side is a client, whose frames are masked.
        apply_mask: XORs data with a four-byte mask.
        max_size: the largest message, also where it comes in fragments.

    Attributes:
        has_parts: whether `feed` may return something although nothing more comes in.
        has_begun: whether a message, or a frame, has begun to come in whose end has not come.
    """

    def __init__(self, *, masked: bool, apply_mask: ApplyMask, max_size: int) -> None:
        self.has_parts: bool = False
        self.has_begun: bool = False
        self._masked = masked
        self._apply_mask = apply_mask
        self._max_size = max_size
        # What came and is not cut yet, in pieces: the first from `_start` on. How many bytes that is, and how many are
        # needed at the least before there is anything to cut.
        self._pieces: list[bytes] = []
        self._start = 0
        self._have = 0
        self._awaited = 2
        # Parts that were cut and given back.
        self._given_back: list[Part] = []
        # Whether a message has begun whose last frame has not come, and how large it is so far.
        self._fragmented = False
        self._size = 0
        # Whether there was a breach or a close frame: what comes behind it means nothing.
        self._ended = False

    @property
    def size(self) -> int:
        """How many bytes are held: of a frame whose end has not come, and of what was not taken yet."""
        return self._have + sum(len(part) for part in self._given_back if isinstance(part, bytes))

    def add(self, data: bytes) -> None:
        """Take what came in, for `feed` to return later."""
        if data and not self._ended:
            self._pieces.append(data)
            self._have += len(data)
            self.has_parts = self.has_begun = True

    def give_back(self, parts: list[Part]) -> None:
        """Take back the last parts that `feed` returned, for it to return them next."""
        self._given_back = parts
        self.has_parts = True

    def feed(self, data: bytes = b"", most: int = sys.maxsize) -> list[Part]:
        """Take what came in, and return what is complete, in order, at most so many parts.

        A breach, or a close frame, is the last part that there ever is.
        """
        if self.has_parts:
            self.has_parts = False
            if self._given_back:
                self.add(data)
                self.has_parts = bool(self._pieces)
                given_back, self._given_back = self._given_back, []
                return given_back
        if self._ended:
            return []
        start = 0
        if self._pieces:
            if data:
                self._pieces.append(data)
                self._have += len(data)
            if self._have < self._awaited:
                return []
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces = []
            self._have = 0
            start, self._start = self._start, 0
        parts: list[Part] = []
        self._awaited = 2
        if not self._fragmented:
            start = self._cut_usual(data, start, most, parts)
        if start < len(data) and len(parts) < most:
            start = self._cut(data, start, most, parts)
        if start < len(data):
            self._keep(data, start, may_have_parts=len(parts) == most)
        else:
            self.has_begun = self._fragmented and not self._ended
        return parts

    def _keep(self, data: bytes, start: int, *, may_have_parts: bool) -> None:
        """Keep what is not cut yet: in its place while there are parts in it, which then costs no copying."""
        self._have = len(data) - start
        self.has_begun = True
        self.has_parts = may_have_parts
        if may_have_parts:
            self._start = start
            self._pieces.append(data)
        else:
            self._pieces.append(data[start:])

    def _cut_usual(self, data: bytes, start: int, most: int, parts: list[Part]) -> int:
        """Cut the whole text messages below 64 KiB that data begins with; return where the rest begins."""
        end = len(data)
        masked, mask_length = (_MASKED, 4) if self._masked else (0, 0)
        while start + 4 <= end and data[start] == WHOLE_TEXT and len(parts) < most:
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
        return start

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
        """Return what is wrong with a frame that begins with these two bytes."""
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
        """Return what is wrong with a data frame of this length."""
        if length <= self._max_size - self._size:
            return None
        message = "message" if self._fragmented else "frame"
        return Breach(_MESSAGE_TOO_BIG, f"{message} exceeds the limit of {self._max_size} bytes")

    def _note_fragments(self, first: int, length: int) -> None:
        """Remember whether a frame leaves its message open; control frames may come between (RFC 6455, section 5.4)."""
        if first & _OPCODE < _FIRST_CONTROL_OPCODE:
            self._fragmented = not first & _FINAL
            self._size = self._size + length if self._fragmented else 0


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
