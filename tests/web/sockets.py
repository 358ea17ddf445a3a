"""A WebSocket to an ASGI application in the same event loop, without a server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ndb_models.testing import MovableClock

Message: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

GUARD = 60


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], clock: MovableClock | None = None) -> None:
    """Wait until something is true that comes over a connection. The clock moves on meanwhile."""
    async with asyncio.timeout(GUARD):
        for _ in itertools.count():
            await asyncio.sleep(0.01)
            if condition():
                return
            if clock is not None:
                clock.advance(1)


class Socket:
    """A browser's end. `sent` are the messages of the application so far; `task` runs the application."""

    def __init__(
        self,
        app: App,
        path: str = "/",
        *,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] = (),
    ) -> None:
        self.sent: list[Message] = []
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._messages.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss",
            "server": ("testserver", 443),
            "client": ("127.0.0.1", 50000),
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in {"host": "testserver", **(headers or {})}.items()
            ],
            "subprotocols": list(subprotocols),
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }
        self.task = asyncio.ensure_future(app(scope, self._messages.get, self._send))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def say(self, text: str) -> None:
        """Send a text to the application."""
        self._messages.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self) -> None:
        """Close the connection from the browser's side."""
        self._messages.put_nowait({"type": "websocket.disconnect", "code": 1001, "reason": ""})

    @property
    def code(self) -> int | None:
        """The code that the application has closed it with, as a script sees it. Refused handshakes have 1006."""
        kinds = [message["type"] for message in self.sent]
        if "websocket.close" in kinds:
            return self.sent[kinds.index("websocket.close")]["code"] if "websocket.accept" in kinds else 1006
        return 1006 if "websocket.http.response.start" in kinds else None

    @property
    def is_open(self) -> bool:
        """True until the application closes it."""
        return self.code is None

    @property
    def texts(self) -> list[str]:
        """What the application has said."""
        return [message["text"] for message in self.sent if message["type"] == "websocket.send"]

    async def ended(self, clock: MovableClock | None = None) -> None:
        """Wait until the application is done with it. Raises as the application."""
        if clock is not None:
            await until(self.task.done, clock)
        async with asyncio.timeout(GUARD):
            await self.task

    async def pass_time(self, clock: MovableClock, seconds: int) -> int | None:
        """Let so many seconds pass, one by one, until it is closed. Return the code, or None."""
        for _ in range(seconds):
            await settle()
            if self.code is not None:
                break
            clock.advance(1)
        await settle()
        return self.code
