"""Rate limits: an average rate a second, with bursts of ten seconds' worth."""

from __future__ import annotations

import time
from typing import Final

from ndb_models.types import Clock

_BURST_SECONDS: Final = 10.0
_MOST_ADDRESSES: Final = 16_384


class RateLimit:
    """A budget that grows by `rate` a second, up to ten seconds' worth (at least one). It starts full."""

    __slots__ = ("_clock", "_left", "_most", "_rate", "_seen")

    def __init__(self, rate: float, clock: Clock = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._most = max(rate * _BURST_SECONDS, 1.0)
        self._left = self._most
        self._seen = clock()

    def take(self, count: int = 1) -> bool:
        """Take `count` from the budget. If there is less, empty the budget and return False."""
        now = self._clock()
        left = min(self._most, self._left + (now - self._seen) * self._rate) - count
        self._seen = now
        self._left = max(left, 0.0)
        return left >= 0


class AddressRateLimit:
    """A budget for each address. Beyond 16,384 addresses, the least recently used one is dropped."""

    def __init__(self, rate: float, clock: Clock = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._limits: dict[str, RateLimit] = {}

    def take(self, address: str, count: int = 1) -> bool:
        """Take `count` from the budget of an address. See `RateLimit.take`."""
        limit = self._limits.pop(address, None)
        if limit is None:
            limit = RateLimit(self._rate, self._clock)
            if len(self._limits) >= _MOST_ADDRESSES:
                del self._limits[next(iter(self._limits))]
        self._limits[address] = limit  # last: the most recently used
        return limit.take(count)
