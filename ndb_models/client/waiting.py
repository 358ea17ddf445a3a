"""Requests that wait for a connection during an outage."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from ndb_models.client.attempts import Attempt
from ndb_models.errors import NdbError


class WaitingRequests:
    """Requests that wait for a connection, in the order in which they came.

    Args:
        loop: the loop of their callers.
        waits_until: returns the time at which a request has waited long enough, on the clock of the loop. The time may
            become later while the request waits.
        error: returns the error for a request that has waited long enough.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        waits_until: Callable[[Attempt], float],
        error: Callable[[Attempt], NdbError],
    ) -> None:
        self._loop = loop
        self._waits_until = waits_until
        self._error = error
        self._attempts: dict[asyncio.Future[Any], Attempt] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf

    def add(self, attempt: Attempt) -> None:
        """Add a request. If it has waited long enough already, it fails in the next turn of the loop."""
        self._attempts[attempt.future] = attempt
        attempt.future.add_done_callback(self._forget)
        self._look_at(self._waits_until(attempt))

    def _forget(self, future: asyncio.Future[Any]) -> None:
        self._attempts.pop(future, None)

    def take_all(self) -> list[Attempt]:
        """Return the requests, oldest first. They no longer wait here."""
        attempts = [*self._attempts.values()]
        self._attempts.clear()
        return attempts

    def _look_at(self, when: float) -> None:
        if when < self._looks_at or self._timer is None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._look)
            self._looks_at = when

    def _look(self) -> None:
        self._timer = None
        self.end_overdue()
        if self._attempts:
            self._look_at(min(map(self._waits_until, self._attempts.values())))

    def end_overdue(self) -> None:
        """Fail the requests that have waited long enough."""
        now = self._loop.time()
        for attempt in [*self._attempts.values()]:
            if self._waits_until(attempt) <= now:
                del self._attempts[attempt.future]
                attempt.fail(self._error(attempt))
