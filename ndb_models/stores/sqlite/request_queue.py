"""The way of requests from event loops to a thread, and of signals to it.

A request wakes the thread if it sleeps: at once, or at the end of the loop's turn if requests came together lately. The
thread takes all that wait by then. Waking it at once saves a turn of the loop; at the end of the turn, none of the
requests of that turn is left behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Final, Literal, TypeAlias

from ndb_models.stores.sqlite.requests import QueuedWork

# The most requests that are taken together: a transaction must not keep other processes out for long.
MOST_TOGETHER: Final = 512


# After so many requests by themselves, the next one is expected to be by itself too.
_MANY_ALONE: Final = 16


class Signal(Enum):
    """A signal to the thread."""

    LOOK = "look for requests, and whether extensions are due"
    PAUSE = "close the connection, for a fork"
    END = "close the connection, and end"


Interruption: TypeAlias = Literal[Signal.PAUSE, Signal.END]
"""A signal to close the connection."""


class RequestQueue:
    """The requests that wait for one thread. All methods but `next` may be called in any thread."""

    def __init__(self) -> None:
        self._waiting: deque[QueuedWork] = deque()
        self._signals: SimpleQueue[Signal] = SimpleQueue()
        # False if the thread will look for requests anyway.
        self._may_sleep = False
        # How many requests were taken by themselves since several were taken together.
        self._alone = _MANY_ALONE
        self._wakes_later: set[asyncio.AbstractEventLoop] = set()

    def put(self, request: QueuedWork) -> None:
        """Add a request of the loop that runs in this thread."""
        self._waiting.append(request)
        if not self._may_sleep:
            return
        if self._alone >= _MANY_ALONE:
            self._may_sleep = False
            self.signal(Signal.LOOK)
        elif request.loop not in self._wakes_later:
            self._wakes_later.add(request.loop)
            request.loop.call_soon(self._wake_at_end_of_turn, request.loop)

    def _wake_at_end_of_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wakes_later.discard(loop)
        self.signal(Signal.LOOK)

    def signal(self, signal: Signal) -> None:
        """Send the thread a signal. After `END`, there must be no more requests."""
        self._signals.put(signal)

    def next(self, longest_sleep: Callable[[], float | None]) -> list[QueuedWork] | Interruption:
        """Return the requests for one transaction, or an interruption. Only the one thread calls this.

        Wait until there is something to do, for at most `longest_sleep()` seconds. The list may be empty. `PAUSE` comes
        before the requests that wait, and `END` after them.
        """
        self._may_sleep = True  # before the look for requests: one that comes later sends a signal
        signal = Signal.LOOK
        if not self._waiting or not self._signals.empty():
            signal = self._next_signal(longest_sleep)
        self._may_sleep = False
        if signal is Signal.PAUSE or (signal is Signal.END and not self._waiting):
            return signal
        if signal is Signal.END:
            self._signals.put(signal)
        return self._taken()

    def _next_signal(self, longest_sleep: Callable[[], float | None]) -> Signal:
        try:
            return self._signals.get(timeout=longest_sleep())
        except Empty:
            return Signal.LOOK

    def _taken(self) -> list[QueuedWork]:
        """Take the requests for one transaction, without those that nobody waits for any more."""
        taken: list[QueuedWork] = []
        while self._waiting and len(taken) < MOST_TOGETHER:
            request = self._waiting.popleft()
            if not request.answer.done():
                taken.append(request)
        if taken:
            self._alone = self._alone + 1 if len(taken) == 1 else 0
        return taken
