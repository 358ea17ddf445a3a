"""Do long work in turns of a millisecond, so that an event loop serves everything else in between.

Work is a generator that yields wherever it may be interrupted. On each loop one turn runs at a time, in the order in
which turns were asked for. A leaf: it does not import from this package.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

Work: TypeAlias = Generator[None, None, T]
"""A generator that yields where it may be interrupted, and returns its outcome."""

TURN: Final = 0.001
"""Seconds in a turn. A turn ends at the first yield after that."""


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


# Held while work waits for its turn to begin; the others queue behind it.
_queue: Final = LoopLock()

turn_giver: Final[ContextVar[Callable[[], Awaitable[None]] | None]] = ContextVar("turn_giver", default=None)
"""Waits for a turn in place of `next_turn`, for the tasks of whoever shares out the loop's turns by itself."""


class Turns:
    """The turns of one request. The first turn begins at once. Most requests need only this one.

    Args:
        most: the seconds that all turns may take together.
        guard: a context manager that is held during each turn, and never between turns.
    """

    __slots__ = ("_ends", "_guard", "_left")

    def __init__(self, most: float = math.inf, guard: AbstractContextManager[Any] | None = None) -> None:
        self._left = most
        self._guard: AbstractContextManager[Any] = guard or contextlib.nullcontext()
        self._ends = perf_counter() + TURN

    async def do(self, work: Work[T]) -> T:
        """Carry out work and return its outcome. If it is cancelled or runs out of time, the generator is closed.

        Raises:
            TimeoutError: the turns together took longer than `most`.
        """
        with contextlib.closing(work):
            outcome = self._advance(work)
            while outcome is None:
                await next_turn()
                self._ends = perf_counter() + TURN
                outcome = self._advance(work)
            return outcome[0]

    def _advance(self, work: Work[T]) -> tuple[T] | None:
        """Work until the turn is over. Return the outcome, or None if there is more to do."""
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
    """Wait for a turn, behind all earlier waiters. The turn is over when the caller next waits."""
    wait = turn_giver.get()
    if wait is not None:
        await wait()
        return
    async with _queue.here():
        await asyncio.sleep(0)  # everything else on the loop


async def in_turns(work: Work[T], guard: AbstractContextManager[Any] | None = None) -> T:
    """Carry out work in its own turns, without a limit of time. See `Turns`."""
    return await Turns(guard=guard).do(work)
