"""Clients that ask for nothing, and clients that do not read what they asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

# How often in its time a connection is looked at for being idle: so much of the time it may be longer.
_LOOKS: Final = 4


class IdleWatch:
    """Calls `idle` when there was no request for so many seconds, or up to a quarter longer; None for never.

    Attributes:
        looks: how often it looked since there was a request, which sets this to 0.
    """

    __slots__ = ("_idle", "_loop", "_seconds", "_timer", "looks")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float | None, idle: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._idle = idle
        self.looks: int = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on."""
        if self._seconds is not None:
            self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)

    def _look(self) -> None:
        self.looks += 1
        if self.looks > _LOOKS:
            self._idle()
        else:
            self.start()

    def then(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something so many seconds from now, unless this is stopped before."""
        self._timer = self._loop.call_later(seconds, call)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class UnreadWatch:
    """Calls `stuck` when a client has read nothing for so many seconds, while something waits for it."""

    __slots__ = ("_loop", "_seconds", "_stuck", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, stuck: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._stuck = stuck
        self._timer: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.WriteTransport) -> None:
        """Look again and again whether less is left to be read than before, until stopped."""
        unread = transport.get_write_buffer_size()

        def look() -> None:
            if transport.get_write_buffer_size() < unread:
                self.start(transport)
            else:
                self._stuck()

        self._timer = self._loop.call_later(self._seconds, look)

    def stop(self) -> None:
        """Look no more: the client has caught up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
