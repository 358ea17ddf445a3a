"""Room in the log for the commits to come.

A commit that makes the log longer waits about twice as long for the disk, since the file's new length must be stored
too. SQLite makes the log longer with each commit until it first starts over, after a checkpoint. So room is made in
steps, between commits: a transaction fills the log with zeros, and is undone. This pays for small commits: a commit of
many requests writes so much that its wait for the length hardly counts.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import Final

from ndb_models.stores.sqlite.opening import PAGES_PER_CHECKPOINT

# Bytes of a log that may need room: a shorter one is of a process that writes little, a longer one starts over. The log
# is doubled, by steps of at most so many bytes, since others cannot write meanwhile.
_SHORTEST: Final = 64 * 1024
_LONGEST: Final = PAGES_PER_CHECKPOINT * 4096
_LARGEST_STEP: Final = 1024 * 1024
# A look at the length lets go of the interpreter's lock, just as the loop wakes up with the answer: that takes longer
# than the look.
_COMMITS_PER_LOOK: Final = 4
# Pages in the cache beyond which SQLite writes changes into the log before the commit.
_SMALL_CACHE: Final = 16


class LogRoom:
    """The room in the log of a file, for the thread that writes it. `path` is the file."""

    def __init__(self, path: str) -> None:
        self._log = path + "-wal"
        self._length = _SHORTEST
        self._commits = 0

    def make(self, connection: sqlite3.Connection) -> None:
        """Make room if commits make the log longer. Call this after each of them, in no transaction.

        If that fails, commits take their time as before.
        """
        self._commits += 1
        if self._length >= _LONGEST or self._commits % _COMMITS_PER_LOOK:
            return
        length = self._length_now()
        if self._length < length < _LONGEST:
            with contextlib.suppress(sqlite3.Error, MemoryError):  # a full disk, or a lock that others hold
                _fill(connection, min(length, _LARGEST_STEP))
            length = self._length_now()
        self._length = max(length, _SHORTEST)

    def _length_now(self) -> int:
        try:
            return os.stat(self._log).st_size  # noqa: PTH116 - a Path costs as much again, at each commit
        except OSError:  # there is no log
            return 0


def _fill(connection: sqlite3.Connection, size: int) -> None:
    """Write so many bytes of zeros into the log, and undo that. The log keeps its length.

    Raises:
        sqlite3.Error, MemoryError: it was not possible. The connection is as before.
    """
    ((cache,),) = connection.execute("PRAGMA cache_size")
    connection.execute(f"PRAGMA cache_size = {_SMALL_CACHE}")
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT OR REPLACE INTO kv VALUES ('', zeroblob(?))", (size,))
    finally:
        connection.rollback()
        connection.execute(f"PRAGMA cache_size = {cache}")
