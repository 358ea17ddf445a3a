"""The shop, its store and a hostile site, each in processes or on a port of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

from tests.free_ports import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
TLS: Final = ROOT / "tests" / "transport" / "tls"
LONGEST: Final = 60.0
"""Seconds that a process may take to start or to stop."""


class Process:
    """A server in a process of its own, on the same port each time that it starts. What it writes goes to a file."""

    def __init__(self, arguments: Sequence[str], log: Path, **environment: str) -> None:
        self.port: int = free_port()
        self.log: Path = log
        self._command = [sys.executable, "-W", "error", "-m", *arguments, "--port", str(self.port)]
        self._environment = {**os.environ, **environment}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start, and return once it listens."""
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, env=self._environment, start_new_session=True, stdout=log, stderr=log
            )
        self._process = process
        async with asyncio.timeout(LONGEST):
            while not await self._is_listening():
                assert process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, by SIGTERM or SIGKILL, and all processes that it started. Stopping twice has no effect."""
        if (process := self._process) is None:
            return
        self._process = None
        if how is signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), LONGEST)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise

    async def _is_listening(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class Shop(Process):
    """The example, served by uvicorn, with a store at a URI."""

    def __init__(
        self, uri: str, log: Path, *options: str, application: str = "shop.app:app", is_development: bool = True
    ) -> None:
        environment = {"SHOP_DEVELOPMENT": "1"} if is_development else {}
        arguments = ("uvicorn", "--app-dir", "examples", application, *options)
        super().__init__(arguments, log, NDB_URI=uri, **environment)
        self.url: str = f"{'https' if '--ssl-keyfile' in options else 'http'}://localhost:{self.port}"


def shop_on_file(folder: Path, *options: str, application: str = "shop.app:app", is_development: bool = True) -> Shop:
    """Return the shop with its sessions in a file, not yet started."""
    uri = f"sqlite:///{folder / 'shop.db'}"
    return Shop(uri, folder / "shop.log", *options, application=application, is_development=is_development)


def server_on_file(folder: Path) -> Process:
    """Return our server on a file, not yet started."""
    return Process(("ndb_models", "serve", "--store", f"sqlite:///{folder / 'server.db'}"), folder / "server.log")


@asynccontextmanager
async def site(page: str) -> AsyncGenerator[int]:
    """Serve one page of another site, on a port of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = page.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        yield port
