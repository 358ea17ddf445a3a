"""What a client may send on a WebSocket, and what RFC 6455 asks of a server for it: a table of cases.

Each case says how many messages are answered, which pings get a pong, and the code that the server closes with.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.server.raw_connection import Opcode, frame

MAX_PAYLOAD: Final = 100_000
NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
NO_CODE: Final = 1005
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009

COUNT: Final = b'{"KV_COUNT":{}}'
_LENGTHS: Final = (0, 1, 2, 15, 124, 125, 126, 127, 128, 255, 256, 65_534, 65_535, 65_536, 65_537, MAX_PAYLOAD)
_UNKNOWN_DATA: Final = (3, 4, 5, 6, 7)
_UNKNOWN_CONTROL: Final = (11, 12, 13, 14, 15)
_MASK: Final = b"\x11\x22\x33\x44"


@dataclass(frozen=True)
class Case:
    """A stream of bytes after the handshake, and what a server says to it.

    With `close=None` the connection stays open, until the test ends it: by a close frame, which is answered by the code
    `at_end`, or, where that is None, by ending the stream, to which nothing is said.
    """

    name: str
    stream: bytes
    answers: int = 0
    pongs: tuple[bytes, ...] = ()
    close: int | None = None
    at_end: int | None = NORMAL


def padded(size: int) -> bytes:
    """Return a request of this size; below 15 bytes, it is no request."""
    return COUNT[:size] + b" " * (size - len(COUNT))


def parts(payload: bytes, *cuts: int, opcode: int = Opcode.TEXT) -> list[bytes]:
    """Return a message in fragments, cut at these places."""
    edges = [0, *cuts, len(payload)]
    last = len(edges) - 2
    return [
        frame(payload[start:end], opcode=opcode if number == 0 else Opcode.CONTINUATION, final=number == last)
        for number, (start, end) in enumerate(itertools.pairwise(edges))
    ]


def with_length(payload: bytes, field: bytes, *, opcode: int = Opcode.TEXT) -> bytes:
    """Return a frame whose length is written in these bytes, after the mask's bit."""
    masked = bytes(byte ^ _MASK[place % 4] for place, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + field + _MASK + masked


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(code.to_bytes(2) + reason, opcode=Opcode.CLOSE)


def lengths() -> Iterator[Case]:
    for size in _LENGTHS:
        yield Case(f"text of {size} bytes", frame(padded(size)), answers=1)
        yield Case(f"binary of {size} bytes", frame(padded(size), opcode=Opcode.BINARY), answers=1)
    for opcode, kind in ((Opcode.TEXT, "text"), (Opcode.BINARY, "binary")):
        yield Case(f"{kind} beyond the limit", frame(padded(MAX_PAYLOAD + 1), opcode=opcode), close=TOO_BIG)
        halves = b"".join(parts(padded(MAX_PAYLOAD + 1), MAX_PAYLOAD // 2, opcode=opcode))
        yield Case(f"fragments of {kind} that are beyond the limit together", halves, close=TOO_BIG)
    yield Case("fragments that are the limit together", b"".join(parts(padded(MAX_PAYLOAD), 7, 50_000)), answers=1)
    yield Case("a request, then one beyond the limit", frame(COUNT) + frame(padded(MAX_PAYLOAD + 1)), 1, (), TOO_BIG)
    for width, field in {
        "16 bits for 15": b"\xfe\x00\x0f",
        "64 bits for 15": b"\xff" + bytes(7) + b"\x0f",
    }.items():
        yield Case(f"a length in {width}", with_length(COUNT, field), close=PROTOCOL_ERROR)
    yield Case("a length in 16 bits for 0", with_length(b"", b"\xfe\x00\x00"), close=PROTOCOL_ERROR)
    yield Case(
        "a length in 64 bits for 300", with_length(padded(300), b"\xff" + (300).to_bytes(8)), 0, (), PROTOCOL_ERROR
    )
    yield Case("a length with the top bit set", with_length(b"", b"\xff\x80" + bytes(7)), close=TOO_BIG)
    yield Case("a length of all ones", with_length(b"", b"\xff" + b"\xff" * 8), close=TOO_BIG)
    yield Case("a length of 2 to the 63rd less 1", with_length(b"", b"\xff\x7f" + b"\xff" * 7), close=TOO_BIG)
    yield Case("a mask of zeros", frame(COUNT, mask=bytes(4)), answers=1)
    yield Case("a mask of ones", frame(COUNT, mask=b"\xff" * 4), answers=1)


def pings() -> Iterator[Case]:
    for size in (0, 1, 4, 124, 125):
        payload = bytes(range(size))
        yield Case(f"ping of {size} bytes", frame(payload, opcode=Opcode.PING), pongs=(payload,))
        yield Case(f"pong of {size} bytes", frame(payload, opcode=Opcode.PONG) + frame(COUNT), answers=1)
    for size in (126, 127, 65_535, 65_536):
        yield Case(f"ping of {size} bytes", frame(bytes(size), opcode=Opcode.PING), close=PROTOCOL_ERROR)
        yield Case(f"pong of {size} bytes", frame(bytes(size), opcode=Opcode.PONG), close=PROTOCOL_ERROR)
    yield Case("ping that is no UTF-8", frame(b"\xff\xfe", opcode=Opcode.PING), pongs=(b"\xff\xfe",))
    ten = [str(number).encode() for number in range(10)]
    yield Case("ten pings", b"".join(frame(each, opcode=Opcode.PING) for each in ten), pongs=tuple(ten))
    mixed = b"".join(frame(each, opcode=Opcode.PING) + frame(COUNT) for each in ten)
    yield Case("ten pings between ten requests", mixed, 10, tuple(ten))
    yield Case("ten pongs", b"".join(frame(each, opcode=Opcode.PONG) for each in ten) + frame(COUNT), answers=1)
    for opcode, kind in ((Opcode.PING, "ping"), (Opcode.PONG, "pong")):
        yield Case(f"a fragment of a {kind}", frame(b"x", opcode=opcode, final=False), close=PROTOCOL_ERROR)
        written_long = with_length(b"x", b"\xfe\x00\x01", opcode=opcode)
        yield Case(f"{kind} whose length is in 16 bits", written_long, close=PROTOCOL_ERROR)


def headers() -> Iterator[Case]:
    for bits in range(1, 8):
        for opcode, kind in ((Opcode.TEXT, "text"), (Opcode.PING, "ping")):
            yield Case(f"{kind} with reserved bits {bits:03b}", frame(COUNT, opcode=opcode, reserved=bits), 0, (), 1002)
    for unknown in (*_UNKNOWN_DATA, *_UNKNOWN_CONTROL):
        yield Case(f"opcode {unknown}", frame(b"x", opcode=unknown), close=PROTOCOL_ERROR)
        yield Case(f"opcode {unknown} without payload", frame(b"", opcode=unknown), close=PROTOCOL_ERROR)
        after = frame(COUNT) + frame(b"x", opcode=unknown) + frame(COUNT)
        yield Case(f"opcode {unknown} between requests", after, 1, (), PROTOCOL_ERROR)
    unmasked = (
        (Opcode.TEXT, COUNT),
        (Opcode.BINARY, b"x"),
        (Opcode.PING, b""),
        (Opcode.PONG, b""),
        (Opcode.CLOSE, b"\x03\xe8"),
        (Opcode.CONTINUATION, b"x"),
    )
    for opcode, payload in unmasked:
        yield Case(f"opcode {opcode} unmasked", frame(payload, opcode=opcode, mask=None), close=PROTOCOL_ERROR)
    for name, begun in {
        "reserved bits": b"\xf1\xfe\x01\x00",
        "an unknown opcode": b"\x83\xfe\x01\x00",
        "a ping too long": b"\x89\xfe\x01\x00",
        "a fragment of a ping": b"\x09\x85",
        "a continuation of nothing": b"\x80\xfe\x01\x00",
        "no mask": b"\x81\x7e\x01\x00",
    }.items():
        yield Case(f"the beginning of a frame alone: {name}", begun, close=PROTOCOL_ERROR)
    for opcode, kind in ((Opcode.TEXT, "text"), (Opcode.BINARY, "binary")):
        begun = bytes([0x80 | opcode]) + b"\xff" + (MAX_PAYLOAD + 1).to_bytes(8)
        yield Case(f"the beginning of a {kind} beyond the limit alone", begun, close=TOO_BIG)
    yield Case("a request, then one unmasked", frame(COUNT) + frame(COUNT, mask=None), 1, (), PROTOCOL_ERROR)


def fragments() -> Iterator[Case]:
    ping, pong, start, end = frame(b"p", opcode=Opcode.PING), frame(b"p", opcode=Opcode.PONG), *parts(COUNT, 7)
    lone = frame(COUNT, opcode=Opcode.CONTINUATION)
    begun = frame(COUNT, opcode=Opcode.CONTINUATION, final=False)
    for pieces in (2, 3, 5, 15):
        cuts = [len(COUNT) * piece // pieces for piece in range(1, pieces)]
        yield Case(f"text in {pieces} fragments", b"".join(parts(COUNT, *cuts)), answers=1)
        yield Case(f"binary in {pieces} fragments", b"".join(parts(COUNT, *cuts, opcode=Opcode.BINARY)), answers=1)
        between = ping.join(parts(COUNT, *cuts))
        yield Case(f"pings between {pieces} fragments", between, 1, (b"p",) * (pieces - 1))
        yield Case(f"pongs between {pieces} fragments", pong.join(parts(COUNT, *cuts)), answers=1)
    yield Case("empty fragments around a text", b"".join(parts(COUNT, 0, 0, 15, 15)), answers=1)
    yield Case("fragments that are all empty", b"".join(parts(b"", 0, 0)), answers=1)
    yield Case("fragments, then a request", start + end + frame(COUNT), answers=2)
    yield Case("fragments twice", (start + end) * 2, answers=2)
    yield Case("a continuation of nothing", lone, close=PROTOCOL_ERROR)
    yield Case("a continuation of nothing that goes on", begun, close=PROTOCOL_ERROR)
    yield Case("a continuation of a whole text", frame(COUNT) + lone, 1, (), PROTOCOL_ERROR)
    yield Case("a continuation of a whole binary", frame(b"x", opcode=Opcode.BINARY) + lone, 1, (), PROTOCOL_ERROR)
    yield Case("a continuation after fragments", start + end + lone, 1, (), PROTOCOL_ERROR)
    yield Case("a continuation after a ping", ping + lone, 0, (b"p",), PROTOCOL_ERROR)
    yield Case("a text within a text", start + frame(COUNT), close=PROTOCOL_ERROR)
    yield Case("a binary within a text", start + frame(b"x", opcode=Opcode.BINARY), close=PROTOCOL_ERROR)
    yield Case(
        "a text within a binary", frame(b"x", opcode=Opcode.BINARY, final=False) + frame(COUNT), 0, (), PROTOCOL_ERROR
    )
    yield Case("a text begun twice", start + start, close=PROTOCOL_ERROR)
    # A message that is cut short by a close counts as a breach, to the library too; the RFC leaves it open.
    yield Case("a close within a text", start + close(NORMAL), close=PROTOCOL_ERROR)
    yield Case("a ping and a close within a text", start + ping + close(NORMAL), 0, (b"p",), PROTOCOL_ERROR)
    yield Case("a fragment of a close", frame(b"\x03\xe8", opcode=Opcode.CLOSE, final=False), close=PROTOCOL_ERROR)
    many = b"".join(parts(padded(500), *range(1, 500)))
    yield Case("a text in 500 fragments", many, answers=1)


VALID: Final[dict[str, bytes]] = {
    "two bytes": "é".encode(),
    "three bytes": "€".encode(),
    "four bytes": "😀".encode(),
    "the first of two": b"\xc2\x80",
    "the last of two": b"\xdf\xbf",
    "the first of three": b"\xe0\xa0\x80",
    "before the surrogates": b"\xed\x9f\xbf",
    "after the surrogates": b"\xee\x80\x80",
    "the last of three": b"\xef\xbf\xbf",
    "the first of four": b"\xf0\x90\x80\x80",
    "the last of four": b"\xf4\x8f\xbf\xbf",
    "no character": b"\xef\xbf\xbe",
    "a byte order mark": b"\xef\xbb\xbf",
}
INVALID: Final[dict[str, bytes]] = {
    "a byte that never is": b"\xff",
    "a continuation alone": b"\x80",
    "two of them": b"\xbf\x80",
    "a beginning alone": b"\xc3(",
    "three bytes less one": b"\xe2\x82(",
    "four bytes less one": b"\xf0\x9f\x98(",
    "overlong in two": b"\xc0\xaf",
    "overlong in two, the last": b"\xc1\xbf",
    "overlong in three": b"\xe0\x80\xaf",
    "overlong in four": b"\xf0\x80\x80\xaf",
    "a high surrogate": b"\xed\xa0\x80",
    "a low surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "far beyond": b"\xf5\x80\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
}
INCOMPLETE: Final[dict[str, bytes]] = {
    "one of two": b"\xc3",
    "two of three": b"\xe2\x82",
    "three of four": b"\xf0\x9f\x98",
}


def around(text: bytes) -> bytes:
    return b'{"KV_SET":{"keys":{"a":"' + text + b'"}}}'


READ_BACK: Final = b'{"KV_GET":{"keys":["a"]}}'


def characters() -> Iterator[Case]:
    for name, text in VALID.items():
        message = around(text)
        place = message.index(text)
        yield Case(f"valid UTF-8: {name}", frame(message) + frame(READ_BACK), answers=2)
        split = b"".join(parts(message, *range(place + 1, place + len(text))))
        yield Case(f"valid UTF-8 split over fragments: {name}", split + frame(READ_BACK), answers=2)
    for name, text in INVALID.items():
        message = around(text)
        yield Case(f"invalid UTF-8: {name}", frame(message), close=INVALID_DATA)
        place = message.index(text)
        split = b"".join(parts(message, *range(place + 1, place + len(text))))
        yield Case(f"invalid UTF-8 split over fragments: {name}", split, close=INVALID_DATA)
    for name, text in INCOMPLETE.items():
        yield Case(f"incomplete UTF-8 at the end: {name}", frame(COUNT + text), close=INVALID_DATA)
        yield Case(f"incomplete UTF-8 in two fragments: {name}", b"".join(parts(COUNT + text, 15)), 0, (), INVALID_DATA)
        whole = frame(COUNT) + frame(COUNT + text)
        yield Case(f"a request, then incomplete UTF-8: {name}", whole, 1, (), INVALID_DATA)
    yield Case("a binary that is no UTF-8", frame(b"\xff\xfe", opcode=Opcode.BINARY), answers=1)
    begun = frame(b"\xff", final=False)
    whole = begun + frame(b"x", opcode=Opcode.CONTINUATION)
    yield Case("invalid UTF-8 in the first fragment, then the rest", whole, close=INVALID_DATA)
    yield Case("invalid UTF-8 in a fragment, the rest to come", begun, at_end=PROTOCOL_ERROR)


def closings() -> Iterator[Case]:
    for code in (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999):
        yield Case(f"close {code}", close(code), close=code)
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
        yield Case(f"close {code}", close(code), close=PROTOCOL_ERROR)
    for size in (1, 2, 122, 123):
        yield Case(f"close with a reason of {size} bytes", close(NORMAL, b"r" * size), close=NORMAL)
    yield Case("close with a reason of 124 bytes", close(NORMAL, b"r" * 124), close=PROTOCOL_ERROR)
    yield Case("close with a reason of 4 bytes for a character", close(NORMAL, "😀".encode()), close=NORMAL)
    yield Case("close without a code", frame(b"", opcode=Opcode.CLOSE), close=NO_CODE)
    yield Case("close with one byte", frame(b"\x03", opcode=Opcode.CLOSE), close=PROTOCOL_ERROR)
    for name, text in {**INVALID, **INCOMPLETE}.items():
        yield Case(f"close with a reason that is no UTF-8: {name}", close(NORMAL, text), close=INVALID_DATA)
    yield Case("close twice", close(NORMAL) * 2, close=NORMAL)
    yield Case("close twice with different codes", close(1001) + close(NORMAL), close=1001)
    yield Case("a request after a close", close(NORMAL) + frame(COUNT), close=NORMAL)
    yield Case("a ping after a close", close(NORMAL) + frame(b"", opcode=Opcode.PING), close=NORMAL)
    yield Case("garbage after a close", close(NORMAL) + b"\xff" * 50, close=NORMAL)
    yield Case("a close after a request", frame(COUNT) + close(NORMAL), 1, (), NORMAL)
    yield Case("a close after ten requests", frame(COUNT) * 10 + close(1001), 10, (), 1001)
    yield Case("a close after a breach", frame(b"x", opcode=3) + close(NORMAL), close=PROTOCOL_ERROR)
    yield Case("a request after a breach", frame(b"x", opcode=3) + frame(COUNT), close=PROTOCOL_ERROR)


def orders() -> Iterator[Case]:
    for many in (2, 65, 200, 500):
        yield Case(f"{many} requests of 15 bytes", frame(COUNT) * many, answers=many)
    writes = [
        frame(json.dumps(each, separators=(",", ":")).encode())
        for number in range(100)
        for each in ({"KV_SET": {"keys": {"n": number}}}, {"KV_GET": {"keys": ["n"]}})
    ]
    yield Case("100 times a write and a read of it", b"".join(writes), answers=200)
    yield Case("100 messages without a byte", frame(b"") * 100, answers=100)
    yield Case("100 binary messages without a byte", frame(b"", opcode=Opcode.BINARY) * 100, answers=100)
    both = frame(COUNT) + frame(b"x", opcode=Opcode.BINARY)
    yield Case("text and binary in turn", both * 20, answers=40)
    sizes = b"".join(frame(padded(size)) for size in (15, 65_536, 125, 126, 15, 65_535, 20))
    yield Case("small and large in turn", sizes, answers=7)
    whole_and_split = frame(COUNT) + b"".join(parts(COUNT, 3, 9))
    yield Case("whole and fragments in turn", whole_and_split * 20, answers=40)


def all_cases() -> Sequence[Case]:
    """Return every case."""
    groups = (lengths(), pings(), headers(), fragments(), characters(), closings(), orders())
    return [case for group in groups for case in group]


CASES: Final = all_cases()
