"""Fair sharing of the event loop's turns: no connection holds up another for long.

A connection answers its input at once, within its budget. Work beyond the budget waits here for later turns of the
loop. The connection that has used the least time goes first (start-time fair queueing).
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
"""The most frames of a connection in one turn of the loop."""
BYTES_A_TURN: Final = 128 * 1024
"""After this many bytes in one turn, a connection reads no more in it."""
SECONDS_AT_ONCE: Final = 0.002
"""How long a connection may answer its new input; a request under way is finished even after that."""
SECONDS_A_ROUND: Final = 0.00015
"""How long all waiting connections together are answered in one turn of the loop."""

# After this much time in one turn, for all connections together, the others wait with their new input.
_SECONDS_OF_ALL: Final = 0.004

_logger = logging.getLogger(__name__)


class Member(Protocol):
    """A connection, as rounds see it."""

    time_used: float
    """Seconds that it has spent answering. Asking for a turn raises this to `floor`, if it is less."""

    def take_turn(self) -> None:
        """Answer the waiting requests within the budget; if some are left, ask for a turn again."""

    def cut(self) -> None:
        """End at once."""


class Rounds:
    """The connections of a server that have more work than fits into one turn of the loop.

    Attributes:
        floor: the `time_used` of the member that was served last. After a pause, a member counts as having used that.
        limit: a connection that has used more time than this must wait too. It is the least `time_used` of the waiting
            members, infinity if none waits, and minus infinity when the turn is used up.
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
        """Give a later turn to a connection that has not asked for one yet."""
        if member.time_used < self.floor:
            member.time_used = self.floor
        self._number += 1
        heapq.heappush(self._waiting, (member.time_used, self._number, member))
        if self._spent < _SECONDS_OF_ALL:
            self.limit = self._waiting[0][0]
        self._schedule()

    def note(self, spent: float) -> None:
        """Count the seconds of a connection that has used much of this turn."""
        self._spent += spent
        if self._spent >= _SECONDS_OF_ALL:
            self.limit = -math.inf  # until the next turn
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            # The loop runs this in its next turn, before the callbacks of that turn's input.
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
