"""Extensions that reads have caused, and that the file does not have yet.

A read starts a session's timer anew without writing. That is noted here, and the thread that writes stores it a moment
later, many at once. Until then every thread of the store takes the session for extended.

What is noted is the moment of the read, not the new deadline. A session that was created later under the same token has
a later deadline by itself, so that an old note does not change it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final, NamedTuple

from ndb_models.stores.sqlite.failures import is_locked
from ndb_models.types import Clock, SessionToken

_logger = logging.getLogger(__name__)

# Of the time that a session has left, the part in which its extension is stored.
_PART_OF_TIME_LEFT: Final = 0.25
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_SECONDS_BETWEEN_WARNINGS: Final = 60.0
# How long others may hold a lock before that is worth a warning.
_LONGEST_MOMENT: Final = 1.0


class Extension(NamedTuple):
    """A read that extended a session: its moment, and how many seconds it lasts."""

    read_at: float
    lasts: float


class Extensions:
    """The noted extensions of one store. Reading threads add to them, the writing thread stores them.

    Args:
        store: where the store is, for the log.
        delay: how many seconds an extension may wait to be stored.
        clock: tells the seconds for delays and pauses.

    Attributes:
        wake: called in a reading thread when something is due sooner than what was noted before.
    """

    def __init__(self, store: str, delay: float, *, clock: Clock = time.monotonic) -> None:
        self.wake: Callable[[], None] = _nobody_to_wake
        self._store = store
        self._delay = delay
        self._clock = clock
        self._lock = threading.Lock()
        # Both by token, the moment of the last read. What is being stored is in the second until it is committed.
        self._noted: dict[SessionToken, Extension] = {}
        self._storing: dict[SessionToken, Extension] = {}
        self._due = math.inf
        # When the writing thread looks here next without being woken; and whether something was noted since it looked.
        self._looks_at = math.inf
        self._noted_lately = False
        self._pause = _FIRST_PAUSE
        self._failing_since: float | None = None
        self._warned: float | None = None

    @property
    def failing(self) -> bool:
        """Whether the last attempt to store extensions failed. While it is so, sessions end at their stored time."""
        return self._failing_since is not None

    def note(self, token: SessionToken, extension: Extension, seconds_left: float) -> None:
        """Note that a session was read; it has so many seconds left by what is stored."""
        due = self._clock() + min(self._delay, max(0.0, seconds_left * _PART_OF_TIME_LEFT))
        with self._lock:
            self._noted[token] = extension
            self._noted_lately = True
            if due < self._due and (self._due == math.inf or not self.failing):
                self._due = due
            late = self._due < self._looks_at
            if late:
                self._looks_at = -math.inf  # it is woken once
        if late:
            self.wake()

    def of(self, token: SessionToken) -> Extension | None:
        """Return the last extension of a session, if the file does not have it yet."""
        noted = self._noted.get(token)
        return self._storing.get(token) if noted is None else noted

    @property
    def is_due(self) -> bool:
        """Whether some have to be stored now."""
        return self._due < math.inf and self._due <= self._clock()

    @property
    def is_empty(self) -> bool:
        """Whether all are stored."""
        return not self._noted

    def seconds_until_look(self) -> float | None:
        """Return in how many seconds the writing thread should look whether some are due; None for when it is woken.

        While sessions are read all the time, it looks now and then, so that reads need not wake it.
        """
        with self._lock:
            now = self._clock()
            looks_again = self._noted_lately and self._due == math.inf
            self._looks_at = now + self._delay if looks_again else self._due
            self._noted_lately = self._due < math.inf
            return None if self._looks_at == math.inf else max(0.0, self._looks_at - now)

    def take(self, most: int) -> Collection[SessionToken]:
        """Return so many tokens whose extensions are to be stored now; `stored` or `not_stored` has to follow."""
        if not self._noted:
            return ()
        with self._lock:
            # In this order: at every moment each is in one of the two.
            self._storing = dict(islice(self._noted.items(), most))
            for token in self._storing:
                del self._noted[token]
            self._due = self._clock() if self._noted else math.inf
        return self._storing

    def stored(self) -> None:
        """Take note that what was taken has been committed."""
        self._storing = {}
        if self._failing_since is not None:
            self._failing_since = None
            self._pause = _FIRST_PAUSE
            if self._warned is not None:
                self._warned = None
                _logger.warning("%s: extensions of sessions are stored again", self._store)

    def put_back(self) -> None:
        """Take back what was taken: something else failed in the transaction."""
        with self._lock:
            self._noted = {**self._storing, **self._noted}
            self._storing = {}
            self._due = self._clock() if self._noted else math.inf

    def not_stored(self, failure: BaseException) -> None:
        """Take back what was taken, to be tried again after a pause. Extensions may have been what failed."""
        self.put_back()
        now = self._clock()
        with self._lock:
            if not self._noted:
                return
            self._due = now + self._pause
            if self._failing_since is None:
                self._failing_since = now
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._warn(now - self._failing_since, failure, now)

    def _warn(self, failing_for: float, failure: BaseException, now: float) -> None:
        """Log once in a while that extensions fail, but not for a lock that others hold for a moment."""
        passes = is_locked(failure) and failing_for < _LONGEST_MOMENT
        if passes or (self._warned is not None and now - self._warned < _SECONDS_BETWEEN_WARNINGS):
            return
        self._warned = now
        _logger.warning("%s: extensions of sessions cannot be stored, and are tried again: %s", self._store, failure)


def _nobody_to_wake() -> None:
    return
