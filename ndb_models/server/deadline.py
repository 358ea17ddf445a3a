"""Waiting for a client with an end: what has not happened by then is not waited for any longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `missed` so many seconds after it was started, unless it was stopped before.

    Starting one that runs, and stopping one that does not, changes nothing.

    Attributes:
        runs: whether it was started, and neither stopped nor missed since.
    """

    __slots__ = ("_loop", "_missed", "_seconds", "_timer", "runs")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, missed: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._missed = missed
        self._timer: asyncio.TimerHandle | None = None
        self.runs: bool = False

    def start(self) -> None:
        """Count from now."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._miss)
            self.runs = True

    def stop(self) -> None:
        """Forget it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.runs = False

    def _miss(self) -> None:
        self._timer = None
        self.runs = False
        self._missed()
