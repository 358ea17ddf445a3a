"""A server that follows a script: for what a real one does only when something is broken."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Script: TypeAlias = Callable[[ServerConnection], Awaitable[None]]
"""What a server does with each connection. When it returns, the connection is closed."""

_COUNTED = ("KV_COUNT", "KV_CLEAR", "SH_END_ALL")
_DONE = ("KV_SET", "KV_ADD", "SH_SET", "SH_ADD")


def honest_answer(request: str | bytes) -> str:
    """Answer as a server would on which each key's value tells the key, and its session; unknown commands as well."""
    ((name, body),) = json.loads(request).items()
    answer: dict[str, Any] = {"st": 1}
    if name in ("KV_GET", "SH_GET"):
        answer["keys"] = {key: own_value(key, body.get("tkn")) for key in body["keys"]}
    elif name == "SH_NEW":
        answer["tkn"] = 16204359010587816757
    elif name in _COUNTED:
        answer["cnt"] = 7
    elif name not in _DONE:
        answer = {"m": "", "st": 10, "tkn": None}
    return json.dumps({f"{name}_RSP": answer})


def own_value(key: str, token: int | None = None) -> str:
    """Return the value that the honest answer has for a key."""
    return f"the value of {key}" if token is None else f"the value of {key} in {token}"


async def be_honest(connection: ServerConnection) -> None:
    """Answer every request, in order."""
    async for request in connection:
        await connection.send(honest_answer(request))


def answering(text: str) -> Script:
    """Answer every request with the same text."""

    async def script(connection: ServerConnection) -> None:
        async for _ in connection:
            await connection.send(text)

    return script


async def answer_nothing(connection: ServerConnection) -> None:
    """Read and never answer."""
    async for _ in connection:
        pass


def first_then_honest(script: Script) -> Script:
    """Follow a script on the first connection, and be honest on all others: a client may have connected again."""
    scripts = [script]

    async def either(connection: ServerConnection) -> None:
        await (scripts.pop() if scripts else be_honest)(connection)

    return either


def send_in_one_write(connection: ServerConnection, *texts: str) -> None:
    """Send messages so that they arrive together."""
    for text in texts:
        connection.protocol.send_text(text.encode())
    connection.transport.write(b"".join(connection.protocol.data_to_send()))


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[str]:
    """Run a server that follows a script; yield its URI."""

    async def follow(connection: ServerConnection) -> None:
        following = asyncio.ensure_future(script(connection))
        closed = asyncio.ensure_future(connection.wait_closed())
        await asyncio.wait((following, closed), return_when=asyncio.FIRST_COMPLETED)
        closed.cancel()
        following.cancel()
        with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
            await following

    async with serve(follow, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
