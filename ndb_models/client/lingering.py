"""Stay awake for a moment after a lone request, if its answer should come at once.

A server on the same machine answers within about fifty microseconds. An idle event loop goes to sleep for that time.
Waking it, on a core that sleeps too, takes as long as the answer itself. So the loop polls for that moment instead. It
does so only while answers come that fast, only for lone requests, and only if the server can have another core. The
loop's other work goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

_MOMENT: Final = 60e-6
# If an answer took more seconds than this, the next is not worth staying awake for.
_AT_ONCE: Final = 250e-6


class Lingering:
    """Keeps a loop awake between a lone request and its answer."""

    __slots__ = ("_awake", "_loop", "_possible", "_sent_at", "_until", "_worth_it")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._possible = hasattr(os, "sched_yield") and _cores() > 1
        self._sent_at = 0.0
        self._until = 0.0
        self._awake = False
        self._worth_it = False

    def sent(self) -> None:
        """Record that a lone request was sent."""
        if not self._possible:
            return
        self._sent_at = self._loop.time()
        if self._worth_it:
            self._until = self._sent_at + _MOMENT
            if not self._awake:
                self._awake = True
                self._loop.call_soon(self._stay_awake)

    def answered(self) -> None:
        """Record that the answer came."""
        self._until = 0.0
        self._worth_it = self._possible and self._loop.time() - self._sent_at < _AT_ONCE

    def _stay_awake(self) -> None:
        if self._loop.time() < self._until:
            os.sched_yield()  # if the server is on this core after all, it goes first
            self._loop.call_soon(self._stay_awake)
        else:
            self._awake = False


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
