"""Connections that begin a handshake and do not end it, from any address of this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

HALF: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n"
"""A request that lacks its end."""


@contextlib.asynccontextmanager
async def half_open(
    port: int, count: int, *, address: str = "127.0.0.1", request: bytes = HALF
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Begin so many handshakes; they are dropped at the end. What comes back is what the server sends to each."""
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        for _ in range(count):
            opened.append(await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)))
            opened[-1][1].write(request)
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def has_ended(reader: asyncio.StreamReader) -> bool:
    """Wait until the server ends a connection without an answer; return whether it did."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True
