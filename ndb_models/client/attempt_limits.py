"""How long a connection may be silent before it counts as frozen, learnt from how long answers took. No I/O."""

from __future__ import annotations

from typing import Final

from ndb_models.wire.commands import Command

# A command may take so many times as long as the slowest answer to it of late.
_MARGIN: Final = 2.0
_REMEMBERED_SECONDS: Final = 600.0


class AttemptLimits:
    """The limits of one server, for all connections to it.

    Args:
        attempt_timeout: how many seconds to wait for an answer to a command that has never taken longer.
    """

    __slots__ = ("_slowest", "attempt_timeout", "notable")

    def __init__(self, attempt_timeout: float) -> None:
        self.attempt_timeout: float = attempt_timeout
        self.notable: float = attempt_timeout / _MARGIN
        """Answers that took no longer than this need not be noted."""
        # By command: how long its slowest answer took, and when that came.
        self._slowest: dict[str, tuple[float, float]] = {}

    def note(self, command: Command, took: float, now: float) -> None:
        """Take note that an answer took so many seconds."""
        if took >= self._slowest_of(command, now):
            self._slowest[command.name] = took, now

    def of(self, command: Command, now: float) -> float | None:
        """Return how many seconds to wait for the answer to a command; None where it may take as long as it likes."""
        if command.may_take_long:
            return None
        return max(self.attempt_timeout, _MARGIN * self._slowest_of(command, now))

    def _slowest_of(self, command: Command, now: float) -> float:
        took, at = self._slowest.get(command.name, (0.0, now))
        return took if now - at < _REMEMBERED_SECONDS else 0.0
