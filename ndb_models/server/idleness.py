"""Watches for clients that send no requests, and for clients that do not read their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

# Looks in the time limit: a connection may stay idle for one look's time beyond the limit.
_LOOKS: Final = 4


class IdleWatch:
    """Calls `idle` after `seconds` without a request, or up to a quarter later; never if `seconds` is None.

    Attributes:
        looks: looks since the last request; the connection sets it to 0 at each request.
    """

    __slots__ = ("_idle", "_loop", "_seconds", "_timer", "looks")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float | None, idle: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._idle = idle
        self.looks: int = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch from now on."""
        if self._seconds is not None:
            self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)

    def _look(self) -> None:
        self.looks += 1
        if self.looks > _LOOKS:
            self._idle()
        else:
            self.start()

    def then(self, seconds: float, call: Callable[[], None]) -> None:
        """Make a call after so many seconds, unless this is stopped before."""
        self._timer = self._loop.call_later(seconds, call)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class UnreadWatch:
    """Calls `stuck` when answers wait and the client has read no byte of them for `seconds`."""

    __slots__ = ("_loop", "_seconds", "_stuck", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, stuck: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._stuck = stuck
        self._timer: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.WriteTransport) -> None:
        """Check at each interval that the client has read some of its answers, until stopped."""
        unread = transport.get_write_buffer_size()

        def look() -> None:
            if transport.get_write_buffer_size() < unread:
                self.start(transport)
            else:
                self._stuck()

        self._timer = self._loop.call_later(self._seconds, look)

    def stop(self) -> None:
        """Stop watching: the client has caught up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
