"""A time without a server: how long requests wait for its end, why it lasts, and when to try again. No I/O.

An outage begins when the connection is lost, or cannot be made. It ends with the first answer. A new connection alone
does not end it, unless that lasts: one that is lost at once, before anything was answered, has changed nothing.
"""

from __future__ import annotations

import random
from typing import Final

from ndb_models.errors import ConnectError

_FIRST_PAUSE: Final = 0.05
# So a server that is back is noticed within a second.
_LONGEST_PAUSE: Final = 0.8


class Outage:
    """A time without a server.

    Args:
        now: when it began, on the clock of the loop.
        connect_wait: how many seconds requests wait for its end, counted from its beginning.
        reason: why it began.

    Attributes:
        waited_for_until: when requests stop waiting for the end, and fail at once.
        reason: why it lasts, as the last attempt has it; `cause` is the attempt's error, if it ended with one.
    """

    __slots__ = ("_connect_wait", "_connected_at", "_pause", "cause", "reason", "waited_for_until")

    def __init__(self, now: float, connect_wait: float, reason: str) -> None:
        self.waited_for_until: float = now + connect_wait
        self.reason: str = reason
        self.cause: ConnectError | None = None
        self._connect_wait = connect_wait
        self._connected_at: float | None = None
        self._pause = 0.0

    def failed(self, error: ConnectError) -> None:
        """Take note that an attempt to connect failed."""
        self.reason, self.cause = str(error), error

    def connected(self, now: float) -> None:
        """Take note of a new connection, on which nothing was answered yet."""
        self._connected_at = now

    def goes_on(self, now: float, reason: str, *, frozen: bool) -> bool:
        """Take note that the new connection was lost unanswered. Return False if it had lasted: a new outage begins.

        One that is `frozen` has answered nothing for all the time that it lasted.
        """
        connected_at, self._connected_at = self._connected_at, None
        if connected_at is not None:
            self.reason, self.cause = reason, None
        return connected_at is None or frozen or now - connected_at < self._connect_wait

    def next_pause(self) -> float:
        """Return how many seconds to wait before the next attempt: none, then longer each time, up to a limit.

        Clients draw different times, so that they do not come back all at once.
        """
        pause = self._pause * random.uniform(0.5, 1.0)
        self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        return pause
