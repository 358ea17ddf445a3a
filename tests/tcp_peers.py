"""Servers that speak TCP by hand: for what no WebSocket library would answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from websockets.http11 import Request
from websockets.server import ServerProtocol

Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a server does with each connection; it is closed afterwards."""


@contextlib.asynccontextmanager
async def tcp_server(talk: Talk) -> AsyncIterator[int]:
    """Run a server on a free port, and yield the port. At the end, wait until every talk is over."""
    talks: set[asyncio.Task[None]] = set()

    async def talk_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
            writer.close()
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(talk_and_close(reader, writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*talks)


async def accepted(reader: asyncio.StreamReader) -> ServerProtocol:
    """Take a WebSocket handshake; the answer to it is the protocol's next data to send."""
    protocol = ServerProtocol()
    protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    protocol.send_response(protocol.accept(request))
    return protocol
