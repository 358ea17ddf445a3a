"""A browser for load tests: several requests at a time over HTTP/1.1, connections that are kept, and one cookie jar."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_TIMEOUT = 30.0


class Answer(NamedTuple):
    """An answer. Without one the status is 0, and the body says why: the server died, or there is none."""

    status: int
    headers: dict[str, str]
    body: Any
    seconds: float

    @property
    def is_ok(self) -> bool:
        """True if the server has done what was asked."""
        return self.status == 200


@dataclass
class Browser:
    """Sends requests to one port, and keeps the cookies of the answers."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def request(self, method: str, path: str) -> Answer:
        """Send a request with the cookies that the browser has by now. A server that does not answer raises nothing."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT):
                status, headers, body = await self._exchange(self._head(method, path))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
            return Answer(0, {}, type(exc).__name__, time.monotonic() - started)
        return Answer(status, headers, json.loads(body) if body[:1] in b"{[" else body, time.monotonic() - started)

    def _head(self, method: str, path: str) -> bytes:
        origin = f"http://127.0.0.1:{self.port}"
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Sec-Fetch-Site: same-origin"]
        if method != "GET":
            lines += [f"Origin: {origin}", "Content-Length: 0"]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        return "\r\n".join([*lines, "", ""]).encode()

    async def _exchange(self, head: bytes) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await self._connection()
        try:
            writer.write(head)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = answer.rstrip().split("\r\n")
            pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            headers = dict(pairs)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        except BaseException:
            writer.close()
            raise
        self._keep([value for name, value in pairs if name == "set-cookie"])
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(status_line.split()[1]), headers, body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    def _keep(self, set_cookies: list[str]) -> None:
        for text in set_cookies:
            pair, *attributes = [part.strip() for part in text.split(";")]
            name, _, value = pair.partition("=")
            if "max-age=0" in [attribute.lower() for attribute in attributes]:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    async def close(self) -> None:
        """Close all connections."""
        for _, writer in self._idle:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self._idle.clear()
