"""A connection to the server under test, frame by frame. It repairs nothing: the frames are the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from ndb_models.client.uri import WebSocketUri, parse_uri
from ndb_models.errors import ConnectError, InvalidArgumentError

NO_ANSWER: Final = {"no answer": True}
_UNCLEAN: Final = 1006


@dataclass(frozen=True, slots=True)
class Target:
    """The server under test.

    Args:
        uri: `ws://HOST:PORT/`, or `wss://HOST:PORT/` with a certificate that the system trusts.
        token: its bearer token; None for none. Never shown.
        answer_timeout: seconds to wait for an answer.

    Raises:
        InvalidArgumentError: the URI names no server.
    """

    uri: str
    token: str | None = field(default=None, repr=False)
    answer_timeout: float = 10.0

    def __post_init__(self) -> None:
        if not isinstance(parse_uri(self.uri), WebSocketUri):
            raise InvalidArgumentError("the conformance tests are for a server: ws://HOST:PORT/ or wss://HOST:PORT/")


class Conversation:
    """One connection. `closed` is the close code once the connection has ended; 1006 if it was cut."""

    def __init__(self, connection: ClientConnection, answer_timeout: float) -> None:
        self._connection = connection
        self._answer_timeout = answer_timeout

    async def send(self, *fragments: str) -> None:
        """Send a text message, in one frame or in fragments. An ended connection shows at the next answer."""
        with contextlib.suppress(ConnectionClosed):
            await self._connection.send(fragments[0] if len(fragments) == 1 else fragments)

    async def send_binary(self, data: bytes) -> None:
        """Send a binary message."""
        with contextlib.suppress(ConnectionClosed):
            await self._connection.send(data)

    async def answer(self) -> Any:
        """Return the next answer, parsed; the text if it is not JSON; `{"closed": code}`, or `NO_ANSWER`."""
        try:
            async with asyncio.timeout(self._answer_timeout):
                text = await self._connection.recv()
        except ConnectionClosed as exc:
            return {"closed": exc.rcvd.code if exc.rcvd is not None else _UNCLEAN}
        except TimeoutError:
            return NO_ANSWER
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text if isinstance(text, str) else ascii(text)

    async def ask(self, text: str) -> Any:
        """Send a text frame, and return its answer."""
        await self.send(text)
        return await self.answer()

    async def ping(self) -> bool:
        """Return True if the server answers a ping."""
        try:
            async with asyncio.timeout(self._answer_timeout):
                await (await self._connection.ping(b"conformance"))
        except (ConnectionClosed, TimeoutError):
            return False
        return True

    async def close(self) -> int:
        """Close the connection, and return the close code of the server."""
        await self._connection.close()
        return self._connection.close_code or _UNCLEAN


@contextlib.asynccontextmanager
async def conversation(target: Target) -> AsyncGenerator[Conversation]:
    """Open a connection, and close it at the end.

    Raises:
        ConnectError: there is no connection, or the server refuses the handshake.
    """
    headers = {} if target.token is None else {"Authorization": f"Bearer {target.token}"}
    try:
        connection = await connect(
            target.uri,
            additional_headers=headers,
            compression=None,
            proxy=None,
            max_size=None,
            open_timeout=target.answer_timeout,
            close_timeout=target.answer_timeout,
        )
    except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as exc:
        raise ConnectError(parse_uri(target.uri).shown, str(exc) or type(exc).__name__) from None
    try:
        yield Conversation(connection, target.answer_timeout)
    finally:
        await connection.close()
