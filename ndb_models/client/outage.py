"""A time without a server: how long requests wait for its end, why it lasts, and when to try again. No I/O.

An outage begins when the connection is lost, or cannot be made. It ends with the first answer. A new connection that
lasts also ends it. If the connection is lost soon and without an answer, the outage goes on.
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
        now: the time of its beginning, on the loop's clock.
        connect_wait: the seconds that requests wait for its end, counted from its beginning.
        reason: why it began.

    Attributes:
        waited_for_until: the time from which requests fail at once.
        reason: why it lasts, according to the last attempt to connect.
        cause: the error of the last attempt; None before one has failed, and after a new connection was lost.
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
        """Record that an attempt to connect failed."""
        self.reason, self.cause = str(error), error

    def connected(self, now: float) -> None:
        """Record a new connection, which has no answer yet."""
        self._connected_at = now

    def goes_on(self, now: float, reason: str, *, frozen: bool) -> bool:
        """Record that the new connection was lost without an answer. Return False if it had lasted `connect_wait`.

        In that case a new outage begins. A `frozen` connection never counts as lasting, since it answered no request.
        """
        connected_at, self._connected_at = self._connected_at, None
        if connected_at is not None:
            self.reason, self.cause = reason, None
        return connected_at is None or frozen or now - connected_at < self._connect_wait

    def next_pause(self) -> float:
        """Return the seconds to wait before the next attempt: 0 at first, then longer each time, up to a limit.

        Clients draw random times, so that they do not all come back at once.
        """
        pause = self._pause * random.uniform(0.5, 1.0)
        self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        return pause
