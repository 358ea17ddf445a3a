"""Extensions that reads have caused, and that are not stored in the file yet.

A read restarts a session's timer without writing. The extension is noted here. The writing thread stores it a moment
later, many at once. Until then every thread of the store treats the session as extended.

A note holds the moment of the read, not the new deadline. A session that was created later under the same token has a
later deadline by itself, so that an old note does not change it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

import msgspec

from ndb_models.stores.sqlite.failures import is_locked
from ndb_models.types import Clock, SessionToken

_logger = logging.getLogger(__name__)

# The part of a session's remaining time within which its extension is stored.
_PART_OF_TIME_LEFT: Final = 0.25
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_SECONDS_BETWEEN_WARNINGS: Final = 60.0
# The seconds that others may hold a lock before that is worth a warning.
_LONGEST_MOMENT: Final = 1.0


class Extension(msgspec.Struct, frozen=True, gc=False):
    """A read that extended a session: the time of the read, and the seconds that the session lasts from then."""

    read_at: float
    lasts: float


class Extensions:
    """The noted extensions of one store. Reading threads add them, the writing thread stores them.

    Args:
        store: the store's path, for the log.
        delay: the most seconds that an extension waits to be stored.
        clock: tells the seconds for delays and pauses.

    Attributes:
        wake: called in a reading thread if an extension is due before the writing thread would look.
    """

    def __init__(self, store: str, delay: float, *, clock: Clock = time.monotonic) -> None:
        self.wake: Callable[[], None] = _nobody_to_wake
        self._store = store
        self._delay = delay
        self._clock = clock
        self._lock = threading.Lock()
        # The last read of each session, by token. An extension being stored is in the second until the commit.
        self._noted: dict[SessionToken, Extension] = {}
        self._storing: dict[SessionToken, Extension] = {}
        self._due = math.inf
        # When the writing thread next looks here without being woken; and whether a read was noted since it looked.
        self._looks_at = math.inf
        self._noted_lately = False
        self._pause = _FIRST_PAUSE
        self._failing_since: float | None = None
        self._warned: float | None = None

    @property
    def failing(self) -> bool:
        """True if the last attempt to store extensions failed. Meanwhile sessions end at their stored time."""
        return self._failing_since is not None

    def note(self, token: SessionToken, extension: Extension, seconds_left: float) -> None:
        """Note a read of a session, which has `seconds_left` until its stored deadline."""
        due = self._clock() + min(self._delay, max(0.0, seconds_left * _PART_OF_TIME_LEFT))
        with self._lock:
            self._noted[token] = extension
            self._noted_lately = True
            if due < self._due and (self._due == math.inf or not self.failing):
                self._due = due
            late = self._due < self._looks_at
            if late:
                self._looks_at = -math.inf  # wake it only once
        if late:
            self.wake()

    def of(self, token: SessionToken) -> Extension | None:
        """Return the last extension of a session, if it is not stored yet."""
        noted = self._noted.get(token)
        return self._storing.get(token) if noted is None else noted

    @property
    def is_due(self) -> bool:
        """True if extensions must be stored now."""
        return self._due < math.inf and self._due <= self._clock()

    @property
    def is_empty(self) -> bool:
        """True if no extension waits to be stored."""
        return not self._noted

    def seconds_until_look(self) -> float | None:
        """Return the seconds until the writing thread should look for due extensions; None to wait until it is woken.

        While sessions are read all the time, it looks regularly, so that reads need not wake it.
        """
        with self._lock:
            now = self._clock()
            looks_again = self._noted_lately and self._due == math.inf
            self._looks_at = now + self._delay if looks_again else self._due
            self._noted_lately = self._due < math.inf
            return None if self._looks_at == math.inf else max(0.0, self._looks_at - now)

    def take(self, most: int) -> Collection[SessionToken]:
        """Return at most `most` tokens of extensions to store now. `stored`, `put_back` or `not_stored` must follow."""
        if not self._noted:
            return ()
        with self._lock:
            # In this order, so that each extension is in one of the two at every moment.
            self._storing = dict(islice(self._noted.items(), most))
            for token in self._storing:
                del self._noted[token]
            self._due = self._clock() if self._noted else math.inf
        return self._storing

    def stored(self) -> None:
        """Record that the taken extensions were committed."""
        self._storing = {}
        if self._failing_since is not None:
            self._failing_since = None
            self._pause = _FIRST_PAUSE
            if self._warned is not None:
                self._warned = None
                _logger.warning("%s: extensions of sessions are stored again", self._store)

    def put_back(self) -> None:
        """Take back the taken extensions, to be stored at once: another part of the transaction failed."""
        with self._lock:
            self._noted = {**self._storing, **self._noted}
            self._storing = {}
            self._due = self._clock() if self._noted else math.inf

    def not_stored(self, failure: BaseException) -> None:
        """Take back the taken extensions, to try again after a pause. They may have caused the failure."""
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
        """Log now and then that extensions fail, except for a lock that others hold for a moment."""
        passes = is_locked(failure) and failing_for < _LONGEST_MOMENT
        if passes or (self._warned is not None and now - self._warned < _SECONDS_BETWEEN_WARNINGS):
            return
        self._warned = now
        _logger.warning("%s: extensions of sessions cannot be stored, and are tried again: %s", self._store, failure)


def _nobody_to_wake() -> None:
    return
