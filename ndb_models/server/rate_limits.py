"""How often something may happen: so many a second on average, and ten seconds' worth at once."""

from __future__ import annotations

import time
from typing import Final

from ndb_models.types import Clock

_BURST_SECONDS: Final = 10.0
_MOST_ADDRESSES: Final = 16_384


class RateLimit:
    """A budget that fills by `rate` a second, up to ten seconds' worth (one at the least). It starts full."""

    __slots__ = ("_clock", "_left", "_most", "_rate", "_seen")

    def __init__(self, rate: float, clock: Clock = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._most = max(rate * _BURST_SECONDS, 1.0)
        self._left = self._most
        self._seen = clock()

    def take(self, count: int = 1) -> bool:
        """Take `count` from the budget. Return False if there is less; then nothing is left of it."""
        now = self._clock()
        left = min(self._most, self._left + (now - self._seen) * self._rate) - count
        self._seen = now
        self._left = max(left, 0.0)
        return left >= 0


class AddressRateLimit:
    """A budget for each address. Of more than 16,384 addresses, the one not heard of for longest is forgotten."""

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
        self._limits[address] = limit  # last, as the one heard of most recently
        return limit.take(count)
