"""Cheap counters of a server's traffic."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class Refusal(Enum):
    """Why a handshake was refused."""

    ORIGIN = "origin"
    TOKEN = "token"
    FULL = "full"
    NOT_READY = "not_ready"
    ADDRESS = "address"
    EVICTED = "evicted"
    REQUEST = "request"


class Ending(Enum):
    """Why the server ended a connection by itself."""

    UNREAD = "unread"
    IDLE = "idle"
    STOPPING = "stopping"
    GUESSING = "guessing"
    MEMORY = "memory"
    REVOKED = "revoked"


class Histogram:
    """A histogram of durations in seconds: the number up to each bound, the number in all, and the sum."""

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds: tuple[float, ...] = tuple(bounds)
        self.total: float = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def note(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of durations in each range: above one bound, and up to the next. The last has no upper bound."""
        return tuple(self._counts)

    def cumulative(self) -> list[int]:
        """Return the number of durations up to each bound; the last item is the number in all."""
        sums: list[int] = []
        for count in self._counts:
            sums.append(count + (sums[-1] if sums else 0))
        return sums


_QUICK: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)
_SLOW: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(slots=True)
class Traffic:
    """The counters of one server.

    Attributes:
        admitted: clients connected now.
        opened: clients ever connected.
        handshakes: connections that are neither clients nor probes yet.
        accepts_failed: failures to accept a connection, for lack of descriptors or memory.
        misses: session tokens in requests that no session has.
        received, sent: bytes of requests and of answers, including framing.
        refused, ended: handshakes refused and connections ended by the server, by reason.
        turns_used_up: turns of the event loop that were too short for a connection's work.
        batches: for each read of input: the time to answer the part that is answered at once.
        waits: for each request that had to wait: the time from its start to its answer.
    """

    admitted: int = 0
    opened: int = 0
    handshakes: int = 0
    accepts_failed: int = 0
    misses: int = 0
    received: int = 0
    sent: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter[Refusal])
    ended: Counter[Ending] = field(default_factory=Counter[Ending])
    turns_used_up: int = 0
    batches: Histogram = field(default_factory=lambda: Histogram(_QUICK))
    waits: Histogram = field(default_factory=lambda: Histogram(_SLOW))
