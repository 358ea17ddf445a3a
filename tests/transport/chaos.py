"""A TCP proxy that delays, splits, cuts and swallows what goes through it, as chance and a seed will have it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Final

DELAY: Final = "delay"
SPLIT: Final = "split"
CUT: Final = "cut"
BLACK_HOLE: Final = "black hole"

_LONGEST_DELAY: Final = 0.003
_CHUNK: Final = 64 * 1024


class Link:
    """One connection through the proxy: two streams, both ways."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        # Once true, whatever comes from either side is swallowed, and neither learns of it.
        self.dark = False

    def cut(self) -> None:
        """Drop both streams without a word."""
        for writer in self.writers:
            writer.transport.abort()


class ChaosProxy:
    """Stands before a server. `faults` says how often, of all chunks of bytes, each fault befalls one.

    Faults spare the first chunk each way, the handshake: a connection that cannot be made is another test. With no
    faults it is a proxy that counts connections, and cuts them when it is told to.
    """

    def __init__(self, port: int, *, seed: int = 0, faults: Mapping[str, float] | None = None) -> None:
        self.target = port
        self.connections = 0
        self.counts: Counter[str] = Counter()
        # While false, connections are accepted and dropped at once.
        self.up = True
        # Set with each connection.
        self._news = asyncio.Event()
        # While not set, connections are accepted and nothing goes through them.
        self._through = asyncio.Event()
        self._through.set()
        self._random = random.Random(seed)
        self._faults = dict(faults or {})
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def uri(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    def calm(self) -> None:
        """From now on let everything through. A connection that was swallowed stays so."""
        self._faults.clear()

    def cut_all(self) -> None:
        """Cut every connection."""
        for link in self._links:
            link.cut()

    def hold(self) -> None:
        """From now on take connections, and let nothing through them before `release`."""
        self._through.clear()

    def release(self) -> None:
        """Let everything through again."""
        self._through.set()

    async def tried(self, count: int) -> None:
        """Wait until so many connections were made or tried, in all."""
        while self.connections < count:
            self._news.clear()
            await self._news.wait()

    async def left(self) -> None:
        """Wait until no connection is open."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def swallow_all(self) -> None:
        """Make a black hole of every connection."""
        for link in self._links:
            link.dark = True

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._news.set()
        if not self.up:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._through.wait()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, far_writer)
        self._links.add(link)
        try:
            await asyncio.gather(self._carry(link, reader, far_writer), self._carry(link, far_reader, writer))
        finally:
            self._links.discard(link)
            link.cut()
            for end in link.writers:
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _carry(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(await reader.read(_CHUNK))
            while chunk := await reader.read(_CHUNK):
                if not link.dark:
                    await self._pass(link, chunk, writer)
                    await writer.drain()
            # What was written still arrives; then this side is at its end too.
            writer.write_eof()

    def _fault(self) -> str | None:
        point = self._random.random()
        for fault, often in self._faults.items():
            if point < often:
                return fault
            point -= often
        return None

    async def _pass(self, link: Link, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        fault = self._fault()
        if fault is None:
            writer.write(chunk)
            return
        self.counts[fault] += 1
        place = self._random.randrange(len(chunk))
        match fault:
            case "delay":
                await asyncio.sleep(self._random.uniform(0, _LONGEST_DELAY))
                writer.write(chunk)
            case "split":
                writer.write(chunk[:place])
                await asyncio.sleep(0)  # the other side reads before the rest comes
                await asyncio.sleep(0)
                writer.write(chunk[place:])
            case "cut":
                writer.write(chunk[:place])
                link.cut()
            case "black hole":
                writer.write(chunk[:place])
                link.dark = True

    async def __aenter__(self) -> ChaosProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut_all()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
