"""The shop, and which worker answers: `uvicorn tests.shop.numbered:app`. Each request has a connection of its own."""

from __future__ import annotations

import os
from typing import Final

from shop.app import app as shop
from starlette.types import Message, Receive, Scope, Send

HEADERS: Final = [(b"x-worker", str(os.getpid()).encode()), (b"connection", b"close")]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the shop."""

    async def numbered(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *HEADERS]
        await send(message)

    await shop(scope, receive, numbered)
