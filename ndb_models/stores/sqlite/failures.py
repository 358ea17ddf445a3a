"""Maps SQLite's failures to errors of this package: by code, never by message."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from typing import Final

from ndb_models.errors import (
    InvalidArgumentError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreLockedError,
    StoreReadOnlyError,
)

_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})

_FAILURES: Final[Mapping[int, tuple[Callable[[str, str], StoreError], str]]] = {
    **dict.fromkeys(
        _LOCKED, (StoreLockedError, "others kept it locked for too long; try again, or raise busy_timeout")
    ),
    sqlite3.SQLITE_FULL: (StoreFullError, "there is no room left; nothing of this was written"),
    sqlite3.SQLITE_READONLY: (StoreReadOnlyError, "the file or its directory cannot be written to"),
    sqlite3.SQLITE_PERM: (StoreReadOnlyError, "the file or its directory cannot be written to"),
    sqlite3.SQLITE_CANTOPEN: (StoreError, "it cannot be opened: is it a file, and its directory there?"),
    sqlite3.SQLITE_NOTADB: (StoreFormatError, "it is no SQLite database"),
    sqlite3.SQLITE_CORRUPT: (StoreFormatError, "it is damaged; restore a backup"),
    sqlite3.SQLITE_IOERR: (StoreError, "the system failed to read or write it; nothing of this was written"),
    sqlite3.SQLITE_TOOBIG: (StoreError, "a value is larger than SQLite takes; nothing of this was written"),
}


def code_of(failure: sqlite3.Error) -> int:
    """Return SQLite's primary code; 0 if the failure was not SQLite's own."""
    code: int = getattr(failure, "sqlite_errorcode", 0)
    return code & 0xFF


def is_locked(failure: BaseException) -> bool:
    """Tell whether a failure is only a lock that others hold: waiting helps."""
    return isinstance(failure, sqlite3.Error) and code_of(failure) in _LOCKED


def translated(store: str, failure: Exception) -> Exception:
    """Return this package's error for one of SQLite's, which is its cause. Other errors are returned as they are.

    Only a `UnicodeEncodeError` becomes an `InvalidArgumentError`, about a key's name.
    """
    if isinstance(failure, UnicodeEncodeError):  # not as the cause: it holds the text
        return InvalidArgumentError("the name of a key holds half a surrogate pair, which UTF-8 has no bytes for")
    if not isinstance(failure, sqlite3.Error):
        return failure
    code = code_of(failure)
    if code == sqlite3.SQLITE_CANTOPEN and not _may_write_beside(store):
        code = sqlite3.SQLITE_READONLY
    kind, reason = _FAILURES.get(code, (StoreError, "SQLite could not do this"))
    error = kind(store, reason)
    error.__cause__ = failure
    return error


def _may_write_beside(store: str) -> bool:
    """Tell whether SQLite may put its other files there. True if there is no directory: the failure is another one."""
    directory = os.path.dirname(store) or os.curdir  # noqa: PTH120
    # Not a `Path`: that raises if the path is too long.
    return not os.path.isdir(directory) or os.access(directory, os.W_OK)  # noqa: PTH112
