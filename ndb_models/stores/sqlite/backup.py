"""Copies a store's file as of one moment, while others write to it, and checks the copy."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ndb_models.errors import NdbError, StoreError, StoreFormatError
from ndb_models.stores.sqlite.failures import code_of, translated
from ndb_models.stores.sqlite.forking import in_use
from ndb_models.stores.sqlite.lock_retries import retry_locked
from ndb_models.stores.sqlite.options import SqliteUri
from ndb_models.stores.sqlite.schema import require_store

_PAGES_TOGETHER: Final = 256
_INSTRUCTIONS_BETWEEN_LOOKS: Final = 100_000


class BackupStoppedError(NdbError):
    """The caller stopped a backup."""


def copy_file(source: SqliteUri, target: Path, report: Callable[[int, int], None], stopped: Callable[[], bool]) -> None:
    """Copy a store into an empty file, and check the copy. Blocks; others may read and write meanwhile.

    Args:
        source: names the store, which must exist.
        target: the empty file. After a failure its content is useless.
        report: called with the number of copied pages and the number of all pages.
        stopped: tells whether to stop. Called many times a second.

    Raises:
        BackupStoppedError: `stopped` returned True.
        OSError: there is no room for the copy.
        StoreError: the store cannot be read or is damaged, or the copy cannot be written.
    """
    shown = source.path
    try:
        with (
            in_use(source.file),
            _connected(source.file, "mode=rw") as store,
            _connected(str(target), "mode=rw") as copy,
        ):
            store.execute("PRAGMA query_only = ON")
            copy.execute("PRAGMA journal_mode = MEMORY")
            copy.execute("PRAGMA synchronous = OFF")  # the whole file is synchronised after it is closed

            def look(_status: int, remaining: int, total: int) -> None:
                report(total - remaining, total)
                if stopped():
                    raise BackupStoppedError

            # One transaction covers all pages, so that they are of one moment.
            retry_locked(lambda: _begin(store, shown), source.options.busy_timeout)
            store.backup(copy, pages=_PAGES_TOGETHER, progress=look, sleep=0)
        _check(target, shown, stopped)
    except sqlite3.Error as exc:
        if code_of(exc) == sqlite3.SQLITE_FULL:  # the store is only read
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from exc
        raise translated(shown, exc) from exc


def _begin(store: sqlite3.Connection, shown: str) -> None:
    if store.in_transaction:
        store.rollback()
    store.execute("BEGIN")
    require_store(store, shown)


def _check(target: Path, shown: str, stopped: Callable[[], bool]) -> None:
    """Make sure that a copy passes SQLite's integrity check."""
    with _connected(str(target), "mode=ro&immutable=1") as copy:
        copy.set_progress_handler(stopped, _INSTRUCTIONS_BETWEEN_LOOKS)
        try:
            found = copy.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.OperationalError:
            if stopped():
                raise BackupStoppedError from None
            raise
    if found != ("ok",):
        raise StoreFormatError(shown, "it is damaged, and so would the backup be: restore an older one")


@contextlib.contextmanager
def _connected(path: str, how: str) -> Generator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{quote(os.fspath(path))}?{how}", uri=True, timeout=0, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def synchronise(path: Path) -> None:
    """Wait until a file, or the names in a directory, have reached the disk.

    Raises:
        StoreError: the system could not write them.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise StoreError(str(path), "the system failed to write it to the disk") from exc
