"""The figures that a client can tell of a store: its sessions, and how long it takes to answer.

They are read while someone looks at the page, and not otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ndb_models.clocks import monotonic_clock, wall_clock
from ndb_models.dashboard.figures import EVERY, Chart, History, Reading
from ndb_models.dashboard.sources import SessionSource
from ndb_models.types import Clock

# Counting the store takes at most this part of the time.
_COUNTING_PART: Final = 20
# Any name will do: the page measures the time of the answer.
_NO_KEY: Final = "__ndb__:status-page"

CHARTS: Final = (
    Chart("Sessions", "count", [("sessions", "")], "All sessions in the store, with those that the index is made of."),
    Chart("Keys", "count", [("keys", "")], "The keys of all sessions together."),
    Chart("Latency", "seconds", [("latency", "")], "The time that the store took to answer one request of this page."),
)
"""The charts of the page."""


class StoreFigures:
    """Reads the figures of a store.

    Args:
        source: the store.
        clock: tells the time in seconds since 1970.
        monotonic: tells the time in seconds since some moment.
    """

    def __init__(self, source: SessionSource, *, clock: Clock = wall_clock, monotonic: Clock = monotonic_clock) -> None:
        self._source = source
        self._clock = clock
        self._monotonic = monotonic
        self._history = History()
        self._totals: tuple[int, int] | None = None
        self._count_again_at = float("-inf")
        self._started = monotonic()

    async def since(self, after: float) -> Mapping[str, Any]:
        """Read the figures if that is due, and return those after a time, in seconds since 1970."""
        at = round(self._clock() / EVERY) * EVERY
        if at > self._history.latest:
            await self._read(at)
        return {**self._history.since(after), "facts": {"uptime": self._monotonic() - self._started}}

    async def _read(self, at: float) -> None:
        began = self._monotonic()
        await self._source.shared(_NO_KEY)
        latency = self._monotonic() - began
        if self._monotonic() >= self._count_again_at:
            began = self._monotonic()
            self._totals = await self._source.totals()
            now = self._monotonic()
            self._count_again_at = now + _COUNTING_PART * (now - began)
        sessions, keys = self._totals or (None, None)
        self._history.add(Reading(at, {"sessions": sessions, "keys": keys, "latency": latency}, {}))
