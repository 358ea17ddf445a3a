"""What a sweep does besides expired sessions: it finds timers ahead of the clock, and gives free pages back."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from typing import Final

from ndb_models.stores.sqlite.maps import unsigned
from ndb_models.types import SessionToken

# If a clock goes back by no more than this, in seconds, it does not count as set back.
_JITTER: Final = 0.1
# For each session that a sweep may free, so many rows are checked for timers ahead of the clock. A new pass through all
# rows begins after so many seconds.
_ROWS_PER_SWEPT: Final = 16
_SECONDS_BETWEEN_PASSES: Final = 3600.0
_FIRST_ROW: Final = -(2**63)
# If at least this many pages, and half of all pages, are free, pages go back to the system; and how many at a time.
_SPARE_PAGES: Final = 1024
_PAGES_GIVEN_BACK: Final = 256


class TimersAhead:
    """Finds sessions with timers ahead of the clock, which was set back: they are due too late for a sweep.

    It passes through all rows, some at each sweep, if the clock was set back or the last pass was long ago.
    """

    def __init__(self) -> None:
        self._latest = -math.inf
        # The next row of the pass, None between two passes; and when it began.
        self._next: int | None = _FIRST_ROW
        self._began = -math.inf

    def see(self, now: float) -> None:
        """Note the time of the clock, in seconds since 1970."""
        self._latest = max(self._latest, now)

    @property
    def is_done(self) -> bool:
        """True between two passes."""
        return self._next is None

    def next_tokens(self, connection: sqlite3.Connection, now: float, swept: int) -> Sequence[SessionToken]:
        """Return the tokens of such sessions among the next rows. `swept` is the most sessions that a sweep frees."""
        if now < self._latest - _JITTER or now - self._began >= _SECONDS_BETWEEN_PASSES:
            self._next, self._began = _FIRST_ROW, now
        self._latest = now
        if self._next is None:
            return ()
        rows = swept * _ROWS_PER_SWEPT
        last, looked_at = connection.execute(
            "SELECT max(tkn), count(*) FROM (SELECT tkn FROM session WHERE tkn >= ? ORDER BY tkn LIMIT ?)",
            (self._next, rows),
        ).fetchone()
        ahead = connection.execute(
            "SELECT tkn FROM session WHERE tkn BETWEEN ? AND ? AND (deadline - duration > ? OR due > deadline)",
            (self._next, last, now),
        ).fetchall()
        self._next = last + 1 if looked_at == rows and last < 2**63 - 1 else None
        return [unsigned(token) for (token,) in ahead]


def give_back(connection: sqlite3.Connection) -> bool:
    """Give some free pages back to the system, if at least half the file is free; tell whether any were given."""
    ((free,),) = connection.execute("PRAGMA freelist_count")
    ((pages,),) = connection.execute("PRAGMA page_count")
    if free < _SPARE_PAGES or 2 * free < pages:
        return False
    connection.execute(f"PRAGMA incremental_vacuum({_PAGES_GIVEN_BACK})").fetchall()
    return True
