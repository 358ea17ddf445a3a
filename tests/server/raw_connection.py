"""A TCP connection to a server, and frames made by hand: for what no WebSocket library would send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
    + KEY
    + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_MASK: Final = b"\x01\x80\xff\x37"


class Opcode(IntEnum):
    """Kinds of frames."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


def frame(
    payload: bytes, *, opcode: int = Opcode.TEXT, final: bool = True, reserved: int = 0, mask: bytes | None = _MASK
) -> bytes:
    """Return a frame as a client sends it; `reserved` are the three bits behind FIN; None for no mask."""
    first = (0x80 if final else 0) | reserved << 4 | opcode
    masked = payload if mask is None else _masked(payload, mask)
    return bytes([first]) + length(len(payload), masked=mask is not None) + (mask or b"") + masked


def _masked(payload: bytes, mask: bytes) -> bytes:
    key = (mask * (len(payload) // len(mask) + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(len(payload))


def length(size: int, *, masked: bool = True) -> bytes:
    """Return how a frame's header says the length of its payload."""
    bit = 0x80 if masked else 0
    if size < 126:
        return bytes([bit | size])
    if size < 1 << 16:
        return bytes([bit | 126]) + size.to_bytes(2)
    return bytes([bit | 127]) + size.to_bytes(8)


@dataclass
class Received:
    """What came until the end: messages as (opcode, payload), and the code of the close frame, None without one."""

    messages: list[tuple[int, bytes]] = field(default_factory=list)
    code: int | None = None


class RawConnection:
    """Sends bytes, and reads what a server sends, which is not masked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            ConnectionError: the server has ended the connection.
        """
        if self.writer.transport.is_closing():  # uvloop would raise a RuntimeError
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    async def open(self, stream: bytes = b"") -> None:
        """Shake hands, with what comes right behind."""
        await self.send(HANDSHAKE + stream)
        response = await self.reader.readuntil(b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 101 "), response

    async def rest(self) -> bytes:
        """Return all that comes until the server ends the connection."""
        return await self.reader.read()

    async def receive(self) -> tuple[int, bytes]:
        """Return the next frame as (opcode, payload).

        Raises:
            asyncio.IncompleteReadError: the server ended the connection.
        """
        first, size = await self.reader.readexactly(2)
        assert first & 0x70 == 0
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def until_closed(self) -> Received:
        """Return what comes until the server ends the connection, with a close frame or without."""
        received = Received()
        try:
            while True:
                opcode, payload = await self.receive()
                if opcode == Opcode.CLOSE:
                    received.code = int.from_bytes(payload[:2]) if payload else 1005
                    assert await self.rest() == b"", "nothing comes after a close frame"
                    return received
                received.messages.append((opcode, payload))
        except asyncio.IncompleteReadError:
            return received


@contextlib.asynccontextmanager
async def raw(port: int) -> AsyncIterator[RawConnection]:
    """Connect, without a handshake; at the end the connection is dropped."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def chunks(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """Cut bytes into pieces of these sizes."""
    start = 0
    while start < len(data):
        size = next(sizes)
        yield data[start : start + size]
        start += size
