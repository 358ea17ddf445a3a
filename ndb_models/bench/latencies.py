"""Latencies in bounded memory: counted in buckets, each 2 % wider than the one before."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Any, Final

_SHORTEST: Final = 1e-6
_GROWTH: Final = 1.02
_BUCKETS: Final = 1024
PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one verb.

    Attributes:
        verb: its name.
        count: how often it was done.
        seconds: how long that took, with all tasks together.
        latencies: by percentile, in milliseconds, to 2 %; empty if it was never done.
        longest: the longest, in milliseconds.
        failed: how often it failed, by the name of the error.
    """

    verb: str
    count: int
    seconds: float
    latencies: dict[float, float]
    longest: float
    failed: dict[str, int]

    @property
    def rate(self) -> float:
        """How often it was done a second."""
        return self.count / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        return {
            "verb": self.verb,
            "count": self.count,
            "seconds": round(self.seconds, 3),
            "perSecond": round(self.rate, 1),
            "milliseconds": {
                **{f"p{percentile:g}": round(value, 3) for percentile, value in self.latencies.items()},
                "max": round(self.longest, 3),
            },
            "failed": self.failed,
        }


class Latencies:
    """Counts latencies, given in seconds."""

    def __init__(self) -> None:
        self._buckets = array("Q", bytes(8 * _BUCKETS))
        self.count: int = 0
        self.longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one latency."""
        place = int(math.log(max(seconds, _SHORTEST) / _SHORTEST, _GROWTH))
        self._buckets[min(place, _BUCKETS - 1)] += 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def percentile(self, percentile: float) -> float:
        """Return the latency, in seconds, that so many percent do not exceed, to 2 %. 0 if there is none."""
        wanted = math.ceil(self.count * percentile / 100)
        passed = 0
        for place, count in enumerate(self._buckets):
            passed += count
            if count and passed >= wanted:
                return min(self.longest, _SHORTEST * _GROWTH ** (place + 1))
        return 0.0
