"""What stands between a driver and a server, or in the place of one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeAlias

import hiredis

Respond: TypeAlias = Callable[[Sequence[bytes]], bytes | None]
"""Returns the reply to a command, or None to close the connection."""


class Proxy:
    """Forwards connections to a server.

    Attributes:
        holds: keep what clients send, and forward nothing of it until `release`.
        deaf: forward no reply.
        connections: how many were made.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.holds: bool = False
        self.deaf: bool = False
        self.connections: int = 0

    def begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, server_writer]
        answers = asyncio.create_task(self._forward_replies(server_reader, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if self.holds:
                    self._held.append((server_writer, data))
                else:
                    server_writer.write(data)
        await answers

    async def _forward_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if not self.deaf:
                    writer.write(data)

    def release(self) -> None:
        """Forward what was held, even that of clients that have gone."""
        self.holds = False
        for writer, data in self._held:
            writer.write(data)
        self._held.clear()

    def cut(self) -> None:
        """Cut all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def end(self) -> None:
        """Cut all connections, and wait until none is served."""
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)


@contextlib.asynccontextmanager
async def proxy_to(uri: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Run a proxy to the server at a URI; yield it and its own URI."""
    proxy = Proxy(int(uri.rpartition(":")[2]))
    async with await asyncio.start_server(proxy.begin, "127.0.0.1", 0) as server:
        try:
            yield proxy, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            await proxy.end()


@contextlib.asynccontextmanager
async def fake_server(respond: Respond) -> AsyncIterator[str]:
    """Run a server that answers as a function says; yield its URI. What the driver asks at first is answered by us."""
    tasks: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while data := await reader.read(65536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    reply = _GREETING.get(command[0], b"") or respond(command)
                    if reply is None:
                        writer.transport.abort()
                        return
                    writer.write(reply)

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        tasks.add(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        try:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            # A task that was cancelled before its first step has closed nothing, and the server would wait for that.
            for writer in writers:
                writer.transport.abort()


_GREETING = {b"CLIENT": b"+OK\r\n", b"INFO": b"$0\r\n\r\n", b"CONFIG": b"*0\r\n", b"ROLE": b"*1\r\n$6\r\nmaster\r\n"}
