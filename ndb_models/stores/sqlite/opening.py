"""Connections to the file: for writing, and for reading."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ndb_models.private_files import make_private_file, warn_if_open_to_others
from ndb_models.stores.sqlite.lock_retries import retry_locked
from ndb_models.stores.sqlite.schema import prepare

# If the log is larger than this many bytes after a checkpoint, it is cut back.
_LOG_KEPT: Final = 64 * 1024 * 1024
PAGES_PER_CHECKPOINT: Final = 4000
"""After this many pages, the log is written back into the file."""
_KIBIBYTES_OF_CACHE: Final = 16 * 1024
_STATEMENTS_KEPT: Final = 256


def open_for_writing(path: str, lock_timeout: float) -> sqlite3.Connection:
    """Open the file as this package's store. A missing file is created. Waits `lock_timeout` seconds for others' locks.

    Raises:
        StoreError, sqlite3.Error: it cannot be opened.
    """
    # SQLite gives the mode of this file to the files beside it. An error usually means that the file exists. SQLite
    # will meet any other error too, and reports it better.
    with contextlib.suppress(OSError):
        os.close(make_private_file(path))

    def set_up(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = FULL")
        # On macOS, a plain fsync leaves the data in the disk's cache. Elsewhere these have no effect.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        prepare(connection, path)
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT}").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES_PER_CHECKPOINT}").fetchone()

    connection = retry_locked(lambda: _connect(path, set_up), lock_timeout)
    # The files beside it have its mode, unless that was changed since.
    any(warn_if_open_to_others(Path(path + suffix)) for suffix in ("", "-wal", "-shm"))
    return connection


def open_for_reading(path: str, lock_timeout: float) -> sqlite3.Connection:
    """Open a file that `open_for_writing` has opened. Statements that write are refused. Waits and raises like that."""

    def set_up(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()

    return retry_locked(lambda: _connect(path, set_up), lock_timeout)


def _connect(path: str, set_up: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, cached_statements=_STATEMENTS_KEPT)
    try:
        connection.execute(f"PRAGMA cache_size = -{_KIBIBYTES_OF_CACHE}")
        connection.execute("PRAGMA trusted_schema = OFF")
        set_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection
