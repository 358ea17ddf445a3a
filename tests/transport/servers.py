"""Servers whose every step is decided by a test, and addresses where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import TypeAlias

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ndb_models.engine import Engine
from ndb_models.protocol.commands import COMMANDS
from ndb_models.stores.memory import MemoryStore

GUARD = 60
# At once, on a busy machine: less than the ten seconds that a client takes by itself to open a connection.
SOON = 8
"""Seconds after which a test that waits for what does not come has failed."""


class Visit:
    """One connection, as a script sees it."""

    def __init__(self, host: Host, connection: ServerConnection) -> None:
        self.connection = connection
        self._host = host

    async def next_request(self) -> bytes:
        """Return the next request; ConnectionClosed when no more will come."""
        request = await self.connection.recv(decode=False)
        self._host.note(request)
        return request

    async def answer(self, request: bytes) -> bytes:
        """Return the engine's answer, without sending it."""
        return await self._host.engine.handle(request)

    async def send(self, answer: bytes) -> None:
        await self.connection.send(answer, text=True)

    def write_together(self, *answers: bytes, close: int | None = None) -> None:
        """Send messages, and a close frame with this code, so that they arrive together."""
        for answer in answers:
            self.connection.protocol.send_text(answer)
        if close is not None:
            self.connection.protocol.send_close(close)
        self.connection.transport.write(b"".join(self.connection.protocol.data_to_send()))

    async def serve(self, requests: int | None = None) -> None:
        """Answer so many requests as the engine does; all where no number is given."""
        while requests is None or requests > 0:
            request = await self.next_request()
            await self.send(await self.answer(request))
            requests = None if requests is None else requests - 1

    async def wait_closed(self) -> None:
        await self.connection.wait_closed()

    def abort(self) -> None:
        self.connection.transport.abort()


Script: TypeAlias = Callable[[Visit], Awaitable[None]]
"""What is done with a connection. When it returns, the connection is closed."""


async def honest(visit: Visit) -> None:
    """Answer everything."""
    await visit.serve()


async def mute(visit: Visit) -> None:
    """Take requests, and never answer."""
    while True:
        await visit.next_request()


async def deadly(visit: Visit) -> None:
    """Take one request, and die of it."""
    await visit.next_request()
    visit.abort()


class Host:
    """A server that follows a script for its first connection, the next for the second, and the last for all others.

    Counts handshakes and keeps the requests that it got, fences left out.
    """

    def __init__(self, *scripts: Script, port: int = 0) -> None:
        self.engine = Engine(MemoryStore())
        self.handshakes = 0
        self.requests: list[bytes] = []
        self._scripts = scripts or (honest,)
        self._port = port
        self._server: Server | None = None
        self._open = 0
        # Set with each request, and whenever a connection comes or goes.
        self._news = asyncio.Event()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def uri(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    def note(self, request: bytes) -> None:
        if next(iter(json.loads(request))) in COMMANDS:
            self.requests.append(request)
            self._news.set()

    async def received(self, count: int) -> None:
        """Wait until so many requests have come, on all connections together."""
        await self._becomes(lambda: len(self.requests) >= count)

    async def reached(self, handshakes: int) -> None:
        """Wait until so many connections were made, in all."""
        await self._becomes(lambda: self.handshakes >= handshakes)

    async def left(self) -> None:
        """Wait until no connection is open."""
        await self._becomes(lambda: not self._open)

    async def _becomes(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._news.clear()
            await self._news.wait()

    async def _follow(self, connection: ServerConnection) -> None:
        script = self._scripts[min(self.handshakes, len(self._scripts) - 1)]
        self.handshakes += 1
        self._open += 1
        self._news.set()
        following = asyncio.ensure_future(script(Visit(self, connection)))
        closed = asyncio.ensure_future(connection.wait_closed())
        await asyncio.wait((following, closed), return_when=asyncio.FIRST_COMPLETED)
        closed.cancel()
        await asyncio.sleep(0)  # a script that waits for the close gets to see it
        following.cancel()
        with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
            await following
        await connection.close()
        self._open -= 1
        self._news.set()

    async def __aenter__(self) -> Host:
        self._server = await serve(self._follow, "127.0.0.1", self._port, compression=None, ping_interval=None)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """Yield a port where nothing listens, and nothing else can start to."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
