"""Turns of the event loop, shared fairly: what one connection has to do never holds up another for long.

A connection answers what it reads at once, within its budget. What is beyond it waits here, and is taken up in later
turns of the loop; the connection that has used the least time goes first (start-time fair queueing).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Callable
from time import perf_counter
from typing import Final, Protocol

FRAMES_A_TURN: Final = 128
"""So many frames of a connection are taken in one turn of the loop."""
BYTES_A_TURN: Final = 128 * 1024
"""When a connection has read so many bytes in one turn, it reads no more in it."""
SECONDS_AT_ONCE: Final = 0.002
"""So long a connection answers what it has just read; the request that is being answered then is finished."""
SECONDS_A_ROUND: Final = 0.00015
"""So long connections that wait are answered in one turn of the loop, all together."""

# When connections have answered for so long at once, all together, others that have read something in this turn wait.
_SECONDS_OF_ALL: Final = 0.004

_logger = logging.getLogger(__name__)


class Member(Protocol):
    """A connection, as rounds see it."""

    time_used: float
    """How long it has been answering, in seconds, or the `floor` if that was more when it asked for a turn."""

    def take_turn(self) -> None:
        """Answer what waits, within the budget; if there is more, ask for a turn again."""

    def cut(self) -> None:
        """End at once."""


class Rounds:
    """The connections of a server that have more to do than fits into one turn of the loop.

    Attributes:
        floor: the time that the member served last had used: who comes back after a pause counts as having used that.
        limit: the least time that a member that waits has used: who has used more waits as well.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.floor: float = 0.0
        self.limit: float = math.inf
        self._clock = clock
        # A heap of (time used, number, member).
        self._waiting: list[tuple[float, int, Member]] = []
        self._number = 0
        self._spent = 0.0
        self._scheduled = False

    def ask(self, member: Member) -> None:
        """Give a turn to a connection that waits for none."""
        if member.time_used < self.floor:
            member.time_used = self.floor
        self._number += 1
        heapq.heappush(self._waiting, (member.time_used, self._number, member))
        if self._spent < _SECONDS_OF_ALL:
            self.limit = self._waiting[0][0]
        self._schedule()

    def note(self, spent: float) -> None:
        """Take note that a connection has used much of this turn of the loop."""
        self._spent += spent
        if self._spent >= _SECONDS_OF_ALL:
            self.limit = -math.inf  # until the next turn
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            # The loop runs this in its next turn, before what that turn reads.
            asyncio.get_running_loop().call_soon(self._round)

    def _round(self) -> None:
        started = now = self._clock()
        try:
            while self._waiting and now - started < SECONDS_A_ROUND:
                self.floor, _, member = heapq.heappop(self._waiting)
                self._turn_of(member)
                now = self._clock()
        finally:
            self._scheduled = False
            self._spent = 0.0
            self.limit = math.inf
            if self._waiting:
                self.limit = self._waiting[0][0]
                self._schedule()

    def _turn_of(self, member: Member) -> None:
        try:
            member.take_turn()
        except Exception:
            _logger.exception("answering a connection failed, and it is cut off")
            member.cut()
