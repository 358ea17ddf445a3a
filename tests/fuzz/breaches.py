"""Connections of garbage: what is sent on them, and how each of them must end.

One that breaks off at the handshake ends with an HTTP status or without a word, one that breaks WebSocket's rules (RFC
6455) with the close code for that. What was asked before the breach is answered before the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

from tests.fuzz.probes import Probes
from tests.fuzz.serve import MAX_PAYLOAD
from tests.server.raw_connection import HANDSHAKE, Opcode, RawConnection, Received, chunks, frame, length

PROTOCOL_ERROR: Final = 1002
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009

_REFUSED: Final = (b"HTTP/1.1 4", b"HTTP/1.1 5")
_NOT_UTF8: Final = (b"\xff", b"\xc3", b'{"KV_COUNT":{"\xed\xa0\x80":1}}', b"\xc0\xaf", b"\xf5\x80\x80\x80", b"a\x80")
_BINARY_ANSWER: Final = b'{"ERR":{"m":"requests are text frames","st":2}}'

Kind: TypeAlias = Callable[[RawConnection, random.Random], Awaitable[None]]


# Before the handshake is done


async def _end(connection: RawConnection) -> bytes:
    """Say that no more will come, and return what the server still says."""
    try:
        if connection.writer.can_write_eof():
            connection.writer.write_eof()
        return await connection.rest()
    except ConnectionError:  # it was sent more than it read
        return b""


async def garbage(connection: RawConnection, rng: random.Random) -> None:
    """Random bytes, with or without the ends of lines."""
    data = rng.randbytes(rng.randrange(1, 2000))
    with contextlib.suppress(ConnectionError):
        await connection.send(data.replace(b"x", b"\r\n") if rng.random() < 0.5 else data)
        said = await _end(connection)
        assert said == b"" or said.startswith(_REFUSED), said


async def half_a_handshake(connection: RawConnection, rng: random.Random) -> None:
    """A handshake that is cut anywhere."""
    await connection.send(HANDSHAKE[: rng.randrange(len(HANDSHAKE))])
    if rng.random() < 0.5:
        connection.writer.transport.abort()
        return
    said = await _end(connection)
    assert said == b"" or said.startswith(_REFUSED), said


def _with_headers(lines: bytes) -> bytes:
    return HANDSHAKE.replace(b"Host", lines + b"\r\nHost")


# Requests that are HTTP, and not what they should be; and what is no HTTP at all.
_REFUSABLE: Final = (
    HANDSHAKE.replace(b"websocket", b"h2c"),
    HANDSHAKE.replace(b"Connection: Upgrade", b"Connection: close"),
    HANDSHAKE.replace(b"Version: 13", b"Version: 12"),
    HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X-Key"),
    HANDSHAKE.replace(b"dGhl", b"!!!!"),
    HANDSHAKE.replace(b"dGhl", b""),
    _with_headers(b"Origin: http://example.org"),
    _with_headers(b"Sec-WebSocket-Key: x"),
    b"GET / HTTP/1.1\r\n\r\n",
)
_UNREADABLE: Final = (
    HANDSHAKE.replace(b"GET", b"POST"),
    HANDSHAKE.replace(b"GET / ", b"GET "),
    HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/9.9"),
    HANDSHAKE.replace(b"Host: ", b"Host"),
    HANDSHAKE.replace(b"Host", b"H\0st"),
    _with_headers(b"Content-Length: 5"),
    _with_headers(b"Transfer-Encoding: chunked"),
    _with_headers(b"X: " + b"x" * 20_000),
    _with_headers(b"\r\n".join([b"X: 1"] * 300)),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xa7" * 100 + b"\r\n\r\n",
)


async def wrong_handshake(connection: RawConnection, rng: random.Random) -> None:
    """A whole request for something else, which is told so."""
    wrong = rng.choice(_REFUSABLE)
    await connection.send(wrong)
    said = await connection.rest()
    assert said.startswith(_REFUSED), (wrong, said)


async def no_handshake(connection: RawConnection, rng: random.Random) -> None:
    """What cannot be read as a handshake: of that the connection ends, with a status or without a word."""
    with contextlib.suppress(ConnectionError):
        await connection.send(rng.choice(_UNREADABLE))
        said = await connection.rest()
        assert said == b"" or said.startswith(_REFUSED), said


async def changed_handshake(connection: RawConnection, rng: random.Random) -> None:
    """A handshake in which some bytes are others."""
    data = bytearray(HANDSHAKE)
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    with contextlib.suppress(ConnectionError):
        await connection.send(bytes(data))
        said = await _end(connection)
        assert said == b"" or said.startswith((*_REFUSED, b"HTTP/1.1 101 ")), (data, said)


# After it


async def _breach(connection: RawConnection, rng: random.Random, data: bytes, codes: Iterable[int | None]) -> None:
    """Ask something, break a rule, ask again: only the first is answered, and the connection ends with such a code."""
    await connection.open()
    probes = Probes(rng)
    asked = [probes.next() for _ in range(rng.randrange(4))]
    sent = b"".join(frame(request, mask=rng.randbytes(4)) for request, _ in asked) + data
    sent += frame(b'{"KV_SET":{"keys":{"after":1}}}')
    if rng.random() < 0.5:
        await connection.send(sent)
    else:
        for piece in chunks(sent, iter(lambda: rng.choice((1, 2, 7, 100, 1000)), 0)):
            await connection.send(piece)
    received = await connection.until_closed()
    _see(received, [answer for _, answer in asked], codes)


def _see(received: Received, answers: list[bytes], codes: Iterable[int | None]) -> None:
    texts = [payload for opcode, payload in received.messages if opcode == Opcode.TEXT]
    assert texts == answers, (texts, answers)
    assert received.code in codes, received.code


async def unmasked(connection: RawConnection, rng: random.Random) -> None:
    """A frame without a mask, as only a server may send it."""
    opcode = rng.choice((Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.CLOSE))
    await _breach(connection, rng, frame(b'{"KV_COUNT":{}}', opcode=opcode, mask=None), [PROTOCOL_ERROR])


async def reserved_bits(connection: RawConnection, rng: random.Random) -> None:
    """Bits of extensions that nobody agreed on."""
    opcode = rng.choice((Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG, Opcode.CLOSE))
    data = frame(b'{"KV_COUNT":{}}', opcode=opcode, reserved=rng.randrange(1, 8))
    await _breach(connection, rng, data, [PROTOCOL_ERROR])


async def reserved_opcode(connection: RawConnection, rng: random.Random) -> None:
    """Kinds of frames that there are none of."""
    opcode = rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))
    await _breach(connection, rng, frame(b"x" * rng.randrange(100), opcode=opcode), [PROTOCOL_ERROR])


async def control_frame(connection: RawConnection, rng: random.Random) -> None:
    """A control frame in fragments, or too long."""
    opcode = rng.choice((Opcode.PING, Opcode.PONG, Opcode.CLOSE))
    long = frame(b"x" * rng.choice((126, 1000, 40_000)), opcode=opcode)
    data = long if rng.random() < 0.5 else frame(b"", opcode=opcode, final=False)
    await _breach(connection, rng, data, [PROTOCOL_ERROR])


async def out_of_order(connection: RawConnection, rng: random.Random) -> None:
    """A continuation of nothing, or a message inside of another."""
    data = rng.choice(
        (
            frame(b"x", opcode=Opcode.CONTINUATION),
            frame(b"x", opcode=Opcode.CONTINUATION, final=False),
            frame(b'{"KV_C', final=False) + frame(b'{"KV_COUNT":{}}'),
            frame(b"x", opcode=Opcode.BINARY, final=False) + frame(b"", opcode=Opcode.PING) + frame(b"y", final=False),
        )
    )
    await _breach(connection, rng, data, [PROTOCOL_ERROR])


async def bad_close(connection: RawConnection, rng: random.Random) -> None:
    """A close frame whose code, or reason, is none."""
    code = rng.choice((0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535))
    data = rng.choice((b"\x03", code.to_bytes(2) + b"reason"))
    await _breach(connection, rng, frame(data, opcode=Opcode.CLOSE), [PROTOCOL_ERROR])


async def reason_that_is_no_text(connection: RawConnection, rng: random.Random) -> None:
    """A close frame whose reason is not UTF-8."""
    data = (1000).to_bytes(2) + rng.choice(_NOT_UTF8)
    await _breach(connection, rng, frame(data, opcode=Opcode.CLOSE), [INVALID_DATA])


async def text_that_is_no_text(connection: RawConnection, rng: random.Random) -> None:
    """A message that is not UTF-8, whole or in fragments."""
    text = rng.choice(_NOT_UTF8)
    cut = rng.randrange(len(text) + 1)
    fragments = frame(text[:cut], final=False) + frame(text[cut:], opcode=Opcode.CONTINUATION)
    await _breach(connection, rng, frame(text) if rng.random() < 0.5 else fragments, [INVALID_DATA])


async def too_large(connection: RawConnection, rng: random.Random) -> None:
    """A message over the maximum: by what its header says, or by its fragments together."""
    fragment = MAX_PAYLOAD // 3 + 1
    data = rng.choice(
        (
            b"\x81" + length(rng.choice((MAX_PAYLOAD + 1, 2**31, 2**40, 2**63 - 1))) + b"mask",
            b"\x82" + length(MAX_PAYLOAD + 1) + b"mask",
            frame(b"x" * fragment, final=False) + frame(b"x" * fragment, opcode=Opcode.CONTINUATION, final=False) * 2,
        )
    )
    await _breach(connection, rng, data, [TOO_BIG])


async def impossible_length(connection: RawConnection, rng: random.Random) -> None:
    """A length beyond 63 bits."""
    await _breach(connection, rng, b"\x81\xff" + rng.randrange(2**63, 2**64).to_bytes(8) + b"mask", [1002, 1009])


async def random_frames(connection: RawConnection, rng: random.Random) -> None:
    """Random bytes in the place of frames: whatever they happen to be, the connection ends."""
    await connection.open()
    with contextlib.suppress(ConnectionError):
        await connection.send(rng.randbytes(rng.randrange(1, 3000)))
        connection.writer.write_eof()
        received = await connection.until_closed()
        assert received.code in (None, PROTOCOL_ERROR, INVALID_DATA, TOO_BIG, 1000, 1005), received


async def vanished(connection: RawConnection, rng: random.Random) -> None:
    """A connection that is gone in the middle of anything."""
    await connection.open()
    data = frame(b'{"KV_GET":{"keys":["a"]}}' + b" " * rng.randrange(300)) * rng.randrange(1, 20)
    await connection.send(data[: rng.randrange(len(data))])
    if rng.random() < 0.5:
        connection.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            assert (await connection.until_closed()).code is None


async def binary(connection: RawConnection, rng: random.Random) -> None:
    """Binary messages, which get an answer, between text messages, which get theirs; then a proper end."""
    await connection.open()
    answers: list[bytes] = []
    for request, answer in _some(Probes(rng), rng):
        await connection.send(frame(rng.randbytes(rng.randrange(300)), opcode=Opcode.BINARY) + frame(request))
        answers += [_BINARY_ANSWER, answer]
    await connection.send(frame((1000).to_bytes(2), opcode=Opcode.CLOSE))
    _see(await connection.until_closed(), answers, [1000])


async def well_framed(connection: RawConnection, rng: random.Random) -> None:
    """Requests in fragments, of any sizes, with pings between: all right, however odd."""
    await connection.open()
    answers: list[bytes] = []
    pongs: list[tuple[int, bytes]] = []
    for request, answer in _some(Probes(rng), rng):
        sent = b""
        opcode = Opcode.TEXT
        for piece in chunks(request, iter(lambda: rng.randrange(1, 40), 0)):
            ping = rng.randbytes(rng.randrange(126))
            sent += frame(piece, opcode=opcode, final=False, mask=rng.randbytes(4)) + frame(ping, opcode=Opcode.PING)
            pongs.append((Opcode.PONG, ping))
            opcode = Opcode.CONTINUATION
        await connection.send(sent + frame(b"", opcode=Opcode.CONTINUATION))
        answers.append(answer)
    await connection.send(frame(b"", opcode=Opcode.CLOSE))
    received = await connection.until_closed()
    _see(received, answers, [1005])
    assert [message for message in received.messages if message[0] == Opcode.PONG] == pongs


def _some(probes: Probes, rng: random.Random) -> list[tuple[bytes, bytes]]:
    return [probes.next() for _ in range(rng.randrange(1, 8))]


async def never_ended(connection: RawConnection, rng: random.Random) -> None:
    """A close frame, and no end of the connection: the server ends it, and does not wait for long."""
    await connection.open()
    await connection.send(frame((1000).to_bytes(2), opcode=Opcode.CLOSE))
    assert (await connection.until_closed()).code == 1000
    with contextlib.suppress(ConnectionError):
        while True:
            await connection.send(frame(b"x" * rng.randrange(1000)))
            await asyncio.sleep(0.05)


QUICK: Final[tuple[Kind, ...]] = (
    *(
        garbage,
        half_a_handshake,
        wrong_handshake,
        no_handshake,
        changed_handshake,
        unmasked,
        reserved_bits,
        reserved_opcode,
    ),
    *(control_frame, out_of_order, bad_close, reason_that_is_no_text, text_that_is_no_text, too_large),
    *(impossible_length, random_frames, vanished, binary, well_framed),
)
"""Those that end at once."""


# Those that end when the server has had enough


async def trickled_handshake(connection: RawConnection, rng: random.Random) -> None:
    """A handshake, byte by byte, that never comes to its end."""
    with contextlib.suppress(ConnectionError):
        await connection.send(HANDSHAKE[: rng.randrange(len(HANDSHAKE) - 4)])
        trickling = asyncio.create_task(_trickle(connection, b"X: 1\r\n" * 10_000))
        try:
            said = await connection.rest()
        finally:
            trickling.cancel()
        assert said == b"" or said.startswith(_REFUSED), said


async def silent(connection: RawConnection, rng: random.Random) -> None:
    """No handshake at all."""
    with contextlib.suppress(ConnectionError):
        assert await connection.rest() == b""


async def trickled_message(connection: RawConnection, rng: random.Random) -> None:
    """A message, byte by byte, or in empty fragments, that never comes to its end."""
    await connection.open()
    whole = frame(b'{"KV_COUNT":{}}'.ljust(30_000))
    empty = frame(b"{", final=False) + frame(b"", opcode=Opcode.CONTINUATION, final=False) * 5_000
    trickling = asyncio.create_task(_trickle(connection, rng.choice((whole, empty))))
    try:
        _see(await connection.until_closed(), [], [1008])
    finally:
        trickling.cancel()


async def _trickle(connection: RawConnection, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        for number in range(len(data)):
            await connection.send(data[number : number + 1])
            await asyncio.sleep(0.05)


async def unread(connection: RawConnection, rng: random.Random) -> None:
    """Requests for large values, of which no answer is ever read."""
    await connection.open()
    large = frame(b'{"KV_SET":{"keys":{"large":"' + b"x" * (MAX_PAYLOAD - 100) + b'"}}}')
    with contextlib.suppress(ConnectionError):
        await connection.send(large)
        # The library reads ahead, up to twice its limit; the transport is told to stop at once.
        transport = connection.writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()
        while not transport.is_closing():
            await connection.send(frame(b'{"KV_GET":{"keys":["large"]}}'.ljust(rng.randrange(100, 500))) * 20)


PATIENT: Final[tuple[Kind, ...]] = (silent, trickled_handshake, trickled_message, unread, never_ended)
