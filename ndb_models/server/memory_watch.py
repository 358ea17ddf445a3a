"""Watch the memory that the process really takes, and give some back before the system ends the process.

The store counts its own data only. The memory of connections, and freed memory that the allocator keeps, shows here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from ndb_models.types import Clock

_LOOK_EVERY: Final = 0.05
# Parts of the memory limit: above the first, freed memory goes back to the system; above the second, connections end.
_HIGH: Final = 7 / 8
_TOO_HIGH: Final = 15 / 16
# In a large process, collecting freed memory takes a while.
_GIVE_BACK_EVERY: Final = 1.0
# Ending a connection that holds less would free no memory.
_WORTH_ENDING: Final = 64 * 1024

_logger = logging.getLogger(__name__)


class Holder(Protocol):
    """An object that holds memory for one client."""

    @property
    def held(self) -> int:
        """The bytes of requests and answers that it holds."""
        ...

    def free(self) -> None:
        """Drop them all, and the client."""
        ...


class MemoryWatch:
    """Keeps the memory of this process below `most` bytes, as far as giving back and ending connections can.

    Args:
        most: the bytes of memory that the process may take.
        resident: returns the bytes that it takes.
        holders: returns the connections.
        give_back: gives freed memory back to the system.
        clock: returns the time in seconds; only differences matter.
    """

    def __init__(
        self,
        most: int,
        resident: Callable[[], int],
        holders: Callable[[], Iterable[Holder]],
        *,
        give_back: Callable[[], object],
        clock: Clock = time.monotonic,
    ) -> None:
        self._most = most
        self._resident = resident
        self._holders = holders
        self._give_back = give_back
        self._clock = clock
        self._next_time = clock()

    async def run(self) -> None:
        """Look 20 times a second, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """Look once. If the process takes too much, give memory back, and end the connections that hold most."""
        if self._resident() <= self._most * _HIGH:
            return
        if self._clock() >= self._next_time:
            self._give_back()
            self._next_time = self._clock() + _GIVE_BACK_EVERY
        excess = self._resident() - self._most * _TOO_HIGH
        if excess <= 0:
            return
        ended = 0
        for holder in sorted(self._holders(), key=lambda each: each.held, reverse=True):
            held = holder.held
            if excess <= 0 or held < _WORTH_ENDING:
                break
            holder.free()
            excess -= held
            ended += 1
        if ended:
            self._give_back()
            _logger.warning("memory is short", extra={"fields": {"ended": ended}})


def give_back_freed_memory() -> None:
    """Give freed memory back to the system, if the C library can (glibc)."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
