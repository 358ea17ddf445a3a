"""Deadlines for clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `missed` some seconds after the start, unless it is stopped before.

    Starting a running deadline and stopping a stopped one change nothing.

    Attributes:
        runs: True from the start until it is stopped or missed.
    """

    __slots__ = ("_loop", "_missed", "_timer", "runs")

    def __init__(self, loop: asyncio.AbstractEventLoop, missed: Callable[[], None]) -> None:
        self._loop = loop
        self._missed = missed
        self._timer: asyncio.TimerHandle | None = None
        self.runs: bool = False

    def start(self, seconds: float) -> None:
        """Count from now."""
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._miss)
            self.runs = True

    def stop(self) -> None:
        """Cancel the deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.runs = False

    def _miss(self) -> None:
        self._timer = None
        self.runs = False
        self._missed()
