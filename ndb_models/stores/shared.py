"""The store in memory for several threads: each verb is one step for all of them.

Each verb holds the store's lock. Reading verbs do so too, since a read may extend a session.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ndb_models.clocks import monotonic_clock
from ndb_models.stores.contract import VERBS, Verbs
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.memory_verbs import MemoryVerbs
from ndb_models.stores.occupancy import NO_LIMITS
from ndb_models.types import Clock

P = ParamSpec("P")
T = TypeVar("T")


class SharedMemoryStore(MemoryStore):
    """Keeps all data in this process, for any number of threads, each with an event loop of its own."""

    def __init__(self, *, clock: Clock = monotonic_clock) -> None:
        super().__init__(clock=clock)
        # Reentrant: work that holds it calls verbs. Verbs that go through all sessions hold it for one turn at a time.
        self._guard = lock = threading.RLock()
        self._table: MemoryVerbs = _LockedVerbs(lock, clock)
        self.verbs: Verbs | None = self._table


class _LockedVerbs(MemoryVerbs):
    """Verbs that hold a lock."""

    def __init__(self, lock: threading.RLock, clock: Clock) -> None:
        super().__init__(NO_LIMITS, clock)
        for name in VERBS:
            setattr(self, name, _locked(lock, getattr(self, name)))


def _locked(lock: threading.RLock, verb: Callable[P, T]) -> Callable[P, T]:
    @wraps(verb)
    def locked(*args: P.args, **kwargs: P.kwargs) -> T:
        with lock:
            return verb(*args, **kwargs)

    return locked
