"""Retries while others hold a lock: SQLite has no queue for locks, and sleeps long when it waits itself."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from typing import Final, TypeVar

from ndb_models.stores.sqlite.failures import is_locked

T = TypeVar("T")

_SHORTEST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.01


def retry_locked(attempt: Callable[[], T], lock_timeout: float) -> T:
    """Return the result of an attempt. If others hold a lock, retry it for `lock_timeout` seconds.

    For threads that may block. A failed attempt must leave no traces.

    Raises:
        sqlite3.Error: the last attempt failed. Errors other than a lock are not retried.
    """
    give_up = time.monotonic() + lock_timeout
    pause = _SHORTEST_PAUSE
    while True:
        try:
            return attempt()
        except sqlite3.Error as exc:
            if not is_locked(exc) or time.monotonic() >= give_up:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(2 * pause, _LONGEST_PAUSE)
