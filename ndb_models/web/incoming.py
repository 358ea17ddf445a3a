"""The messages of the client of a WebSocket, and whether it has left. No framework."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]

_DISCONNECT: Final = "websocket.disconnect"


class Incoming:
    """The messages of a client. They are read by the program, and by a watch that waits until the client leaves.

    The watch reads one message ahead and keeps it for the program. It reads the next one only when the program has
    taken that one, so memory stays bounded.

    Args:
        receive: ASGI's `receive` of the connection.
    """

    def __init__(self, receive: Callable[[], Awaitable[Message]]) -> None:
        self._receive = receive
        self._ahead: asyncio.Future[Message] | None = None
        self._taken = asyncio.Event()
        self._is_watched = False
        self._is_connected = False
        """True once the program has the first message, which says that the client connects."""
        self._is_listening = False
        """True once the program has asked for more. It then learns of the leave by itself."""

    async def receive(self) -> Message:
        """Return the next message, as ASGI's `receive`."""
        self._is_listening = self._is_connected
        message = await self._next()
        self._is_connected = True
        return message

    async def _next(self) -> Message:
        if self._ahead is None and not self._is_watched:
            return await self._receive()
        ahead = self._read_ahead()
        message = await asyncio.shield(ahead)
        if message["type"] != _DISCONNECT and self._ahead is ahead:
            self._ahead = None
            self._taken.set()
        return message

    def left(self) -> Awaitable[None]:
        """Wait until the client has left. Only one caller may wait at a time.

        If the program asks for messages from now on, it sees the client leave itself, and this waits for ever.
        """
        self._is_watched, self._is_listening = True, False
        return self._watch()

    async def _watch(self) -> None:
        try:
            while True:
                ahead = self._read_ahead()
                await asyncio.wait([ahead])
                if not self._is_listening and (ahead.exception() or ahead.result()["type"] == _DISCONNECT):
                    return
                while self._ahead is ahead:
                    self._taken.clear()
                    await self._taken.wait()
        finally:
            self._is_watched = False

    def close(self) -> None:
        """Read no further."""
        if self._ahead is not None:
            self._ahead.cancel()

    def _read_ahead(self) -> asyncio.Future[Message]:
        if self._ahead is None:
            self._ahead = asyncio.ensure_future(self._receive())
        return self._ahead
