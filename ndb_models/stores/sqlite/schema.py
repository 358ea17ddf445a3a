"""The tables, how they are made, and how those of an older version become those of this one.

A session's timer is `deadline`, in seconds since 1970, NULL for never. `due` says when to look whether it has expired:
never later than it does, and moved along only when somebody looks, so that a timer that is started anew does not move
the index. Tokens and durations are unsigned 64-bit and stand here as the signed numbers of the same bits. Values are
BLOBs, so that they come back to the byte: `CAST(value AS TEXT)` shows them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, TypeAlias

from ndb_models.errors import StoreError, StoreFormatError, StoreVersionError

APPLICATION_ID: Final = 0x4E444253
"""`NDBS`: says, in the file's head, whose it is."""

Migration: TypeAlias = Sequence[str]

MIGRATIONS: Final[Sequence[Migration]] = (
    (
        """CREATE TABLE session (
            tkn INTEGER PRIMARY KEY,
            duration INTEGER NOT NULL,
            delete_session INTEGER NOT NULL,
            extend_on_set_add INTEGER NOT NULL,
            extend_on_get INTEGER NOT NULL,
            deadline REAL,
            due REAL
        ) STRICT""",
        "CREATE INDEX session_due ON session (due) WHERE due IS NOT NULL",
        """CREATE TABLE session_key (
            tkn INTEGER NOT NULL,
            key TEXT NOT NULL,
            value BLOB NOT NULL,
            PRIMARY KEY (tkn, key)
        ) STRICT, WITHOUT ROWID""",
        "CREATE TABLE kv (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
)
"""The statements that lead from each version of the schema to the next. What was released is never changed."""

# The first with STRICT tables.
_OLDEST_SQLITE: Final = (3, 37, 0)


def prepare(connection: sqlite3.Connection, store: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Make a file this package's store, of the newest version, if it is new, or the store of an older version.

    Raises:
        StoreVersionError: a newer version of this package wrote it.
        StoreFormatError: it is somebody else's database.
        StoreError: the SQLite or the file system is not up to it.
        sqlite3.Error: SQLite failed. Nothing has changed.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(store, f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or later is needed")
    _version(connection, store, len(migrations))
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a file that is new; it cannot be had later
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(store, "its file system cannot be used: it has no shared memory for SQLite's WAL")
    if _version(connection, store, len(migrations)) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been here meanwhile.
        for migration in migrations[_version(connection, store, len(migrations)) :]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def require_store(connection: sqlite3.Connection, store: str) -> None:
    """Make sure that a file is this package's store, of this version or an older one.

    Raises:
        StoreVersionError: a newer version of this package wrote it.
        StoreFormatError: it is none.
        sqlite3.Error: SQLite failed.
    """
    if _version(connection, store, len(MIGRATIONS)) == 0:
        raise StoreFormatError(store, "it is empty, and no store of this package yet")


# In one statement, and so as of one moment.
_WHOSE: Final = (
    "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
    " FROM pragma_application_id, pragma_user_version"
)


def _version(connection: sqlite3.Connection, store: str, known: int) -> int:
    """Return the version of the schema, 0 where there is none yet; refuse what is not ours to change."""
    application, version, tables = connection.execute(_WHOSE).fetchone()
    if application == APPLICATION_ID:
        if version > known:
            raise StoreVersionError(store, version, known)
    elif application or version or tables:
        raise StoreFormatError(store, "it is an SQLite database, but none of this package; name another file")
    return int(version)
