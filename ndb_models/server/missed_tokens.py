"""Misses: session tokens in requests that no session has. Counted, logged if they may be guesses, limited if asked."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from ndb_models.engine.engine import OnMiss
from ndb_models.server.log_limits import LogLimit
from ndb_models.server.options import ServerOptions
from ndb_models.server.rate_limits import AddressRateLimit, RateLimit
from ndb_models.server.traffic import Traffic
from ndb_models.types import Clock

_logger = logging.getLogger(__name__)

TOO_MANY_MISSES: Final = "too many tokens of sessions that do not exist"
"""The reason in the close frame to a client that guesses."""

_SECONDS_WATCHED: Final = 60.0
# This many misses of one address in that time are logged.
_WORTH_TELLING: Final = 1000
_MOST_ADDRESSES: Final = 16_384


class MissedTokens:
    """Watches all connections of a server for misses."""

    def __init__(self, options: ServerOptions, traffic: Traffic, *, clock: Clock = time.monotonic) -> None:
        self._rate = options.miss_rate
        rate_of_address = options.miss_rate_per_address
        self._of_addresses = None if rate_of_address is None else AddressRateLimit(rate_of_address, clock)
        self._traffic = traffic
        self._clock = clock
        self._log = LogLimit(_logger, clock)
        self._seen: Counter[str] = Counter()
        self._watching_until = clock() + _SECONDS_WATCHED

    def of_connection(self, address: str, peer: str, end: Callable[[], None]) -> OnMiss:
        """Return a callback for the misses of one connection. It calls `end` once, at the first miss above a limit.

        It returns False from then on: the client may not be told which tokens exist.
        """
        own = None if self._rate is None else RateLimit(self._rate, self._clock)
        is_over = False

        def on_miss(count: int) -> bool:
            nonlocal is_over
            self._note(address, peer, count)
            if not is_over and not self._is_within_limits(own, address, count):
                is_over = True
                end()
            return not is_over

        return on_miss

    def _is_within_limits(self, own: RateLimit | None, address: str, count: int) -> bool:
        of_address = self._of_addresses is None or self._of_addresses.take(address, count)
        return (own is None or own.take(count)) and of_address

    def _note(self, address: str, peer: str, count: int) -> None:
        self._traffic.misses += count
        now = self._clock()
        if now >= self._watching_until or len(self._seen) >= _MOST_ADDRESSES:
            self._seen.clear()
            self._watching_until = now + _SECONDS_WATCHED
        before = self._seen[address]
        self._seen[address] = before + count
        if before < _WORTH_TELLING <= before + count:
            self._log.warn(
                "many tokens of sessions that do not exist: they are guesses, or of sessions that have ended",
                peer=peer,
                tokens=before + count,
            )
