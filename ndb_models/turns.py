"""Long work in turns: a millisecond at a time, so that an event loop serves everything else in between.

Work is a generator that yields wherever it may be interrupted. All long work on a loop takes turns: one turn at a time,
in the order in which it was asked for. A leaf: it imports nothing of this package.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Generator
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

Work: TypeAlias = Generator[None, None, T]
"""Work that yields where it may be interrupted, and returns its outcome."""

TURN: Final = 0.001
"""How long a turn takes, in seconds, and the part of the work that follows it."""


class LoopLock:
    """A lock for the tasks of each event loop."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def here(self) -> asyncio.Lock:
        """Return the lock of the running loop."""
        loop = asyncio.get_running_loop()
        lock = self._locks.get(loop)
        if lock is None:
            lock = self._locks[loop] = asyncio.Lock()
        return lock


# Held by the work that has its turn, or the next one.
_queue: Final = LoopLock()


class Turns:
    """The turns of one request. The first begins at once, and most requests need no more.

    Args:
        most: the time in seconds that all turns may take together.
        guard: is held during each turn, and never between two.
    """

    __slots__ = ("_ends", "_guard", "_left")

    def __init__(self, most: float = math.inf, guard: AbstractContextManager[Any] | None = None) -> None:
        self._left = most
        self._guard: AbstractContextManager[Any] = guard or contextlib.nullcontext()
        self._ends = perf_counter() + TURN

    async def do(self, work: Work[T]) -> T:
        """Carry out work and return its outcome. Cancelled, or out of time, the work is closed where it stands.

        Raises:
            TimeoutError: it took longer than it may.
        """
        with contextlib.closing(work):
            outcome = self._advance(work)
            while outcome is None:
                await next_turn()
                self._ends = perf_counter() + TURN
                outcome = self._advance(work)
            return outcome[0]

    def _advance(self, work: Work[T]) -> tuple[T] | None:
        """Go on until the turn is over; return the outcome, None where there is more to do."""
        started = now = perf_counter()
        try:
            with self._guard:
                while now < self._ends:
                    next(work)
                    now = perf_counter()
        except StopIteration as done:
            return (done.value,)
        self._left -= now - started
        if self._left < 0:
            raise TimeoutError
        return None


async def next_turn() -> None:
    """Wait for a turn, behind everyone who waits for one. It is over when the caller waits for anything."""
    async with _queue.here():
        await asyncio.sleep(0)  # everything else on the loop


async def in_turns(work: Work[T], guard: AbstractContextManager[Any] | None = None) -> T:
    """Carry out work in turns of its own, however long it takes. See `Turns`."""
    return await Turns(guard=guard).do(work)
