"""A client that speaks plain HTTP, as a probe, a scraper or an attacker does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ndb_models.server import NdbServer


@dataclass(frozen=True)
class Answer:
    """An HTTP response; the names of `headers` in small letters."""

    status: int
    headers: dict[str, str]
    body: str


async def fetch(server: NdbServer | int, path: str, *, method: str = "GET", **headers: str) -> Answer:
    """Send one request to a server without TLS, or to a port of this machine, and read until it closes."""
    port = server if isinstance(server, int) else server.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    pairs = (line.split(": ", 1) for line in rest)
    return Answer(int(first.split()[1]), {name.lower(): value for name, value in pairs}, body)
