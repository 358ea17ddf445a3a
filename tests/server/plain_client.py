"""A client of another kind: a bare WebSocket, JSON as `json.dumps` writes it, and no knowledge of this package."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from ndb_models.server import NdbServer

GUARD = 60
"""Seconds after which a test that waits for what does not come has failed."""


@contextlib.asynccontextmanager
async def plain(server: NdbServer | str, **options: Any) -> AsyncIterator[ClientConnection]:
    """Connect as websockets does by default (it offers compression), only without a proxy from the environment."""
    uri = server if isinstance(server, str) else server.uri
    async with connect(uri, proxy=None, **options) as websocket:
        yield websocket


async def send(websocket: ClientConnection, command: str, **body: Any) -> None:
    await websocket.send(json.dumps({command: body}))


async def receive(websocket: ClientConnection) -> dict[str, Any]:
    answer = json.loads(await websocket.recv())
    assert isinstance(answer, dict)
    return answer


async def ask(websocket: ClientConnection, command: str, **body: Any) -> dict[str, Any]:
    """Send one request and return what stands under its answer's name."""
    await send(websocket, command, **body)
    answer = (await receive(websocket))[f"{command}_RSP"]
    assert isinstance(answer, dict)
    return answer


def write_at_once(websocket: ClientConnection, *requests: str, close: bool = False) -> None:
    """Send requests, and a close frame if there is one, so that they arrive together."""
    for request in requests:
        websocket.protocol.send_text(request.encode())
    if close:
        websocket.protocol.send_close(1000)
    websocket.transport.write(b"".join(websocket.protocol.data_to_send()))
