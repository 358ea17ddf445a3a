"""Learn from the times of answers how long a connection may be silent before it counts as frozen. No I/O."""

from __future__ import annotations

import math
from typing import Final

from ndb_models.protocol.commands import Command
from ndb_models.protocol.pipeline import Request

# A command may take this many times as long as its slowest recent answer.
_MARGIN: Final = 2.0
_REMEMBERED_SECONDS: Final = 600.0


class AttemptLimits:
    """The limits of one server, for all connections to it.

    Args:
        attempt_timeout: the seconds to wait for an answer, unless answers to the command have taken longer.
    """

    __slots__ = ("_slowest", "attempt_timeout", "notable")

    def __init__(self, attempt_timeout: float) -> None:
        self.attempt_timeout: float = attempt_timeout
        self.notable: float = attempt_timeout / _MARGIN
        """Answers within so many seconds need not be noted."""
        # By command: the seconds of its slowest answer, and the time when that answer came.
        self._slowest: dict[str, tuple[float, float]] = {}

    def note(self, command: Command, took: float, now: float) -> None:
        """Record that an answer took `took` seconds."""
        if took >= self._slowest_of(command, now):
            self._slowest[command.name] = took, now

    def of(self, command: Command, now: float) -> float | None:
        """Return the seconds to wait for the answer to a command; None if it has no limit."""
        if command.may_take_long:
            return None
        return max(self.attempt_timeout, _MARGIN * self._slowest_of(command, now))

    def longest_silence(self, head: Request | None, now: float) -> float:
        """Return the seconds of silence after which a connection counts as frozen.

        `head` is the request that must be answered next; None if a fence must be.
        """
        if head is None:
            return self.attempt_timeout
        limit = self.of(head.exchange.command, now)
        return math.inf if limit is None else limit * head.silence_factor

    def _slowest_of(self, command: Command, now: float) -> float:
        took, at = self._slowest.get(command.name, (0.0, now))
        return took if now - at < _REMEMBERED_SECONDS else 0.0
