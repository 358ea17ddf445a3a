"""The tables, how they are made, and how older versions are upgraded to this one.

`extend_on_set_add` and `extend_on_get` are 0 if such a use does not restart the timer. Otherwise they are 1 more than
the session's `touch_every`; releases that do not know it read any number but 0 as true.

A session's timer is `deadline`, in seconds since 1970, NULL for never. `due` is the time to look whether it has
expired, never later than the deadline. It moves to a later time only at such a look, so that restarting a timer does
not change the index. Tokens and durations are unsigned 64-bit integers, stored as signed ones with the same bits.
Values are BLOBs, so that they come back byte for byte: `CAST(value AS TEXT)` shows them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, TypeAlias

from ndb_models.errors import StoreError, StoreFormatError, StoreVersionError

APPLICATION_ID: Final = 0x4E444253
"""`NDBS`: marks a file, in its header, as this package's."""

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
"""The statements that lead from each version of the schema to the next. Released ones never change."""

# The first version with STRICT tables.
_OLDEST_SQLITE: Final = (3, 37, 0)


def prepare(connection: sqlite3.Connection, store: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Make a new file, or a store of an older version, into this package's store of the newest version.

    Raises:
        StoreVersionError: a newer version of this package wrote it.
        StoreFormatError: it is a database of another program.
        StoreError: SQLite is too old, or the file system is unsuitable.
        sqlite3.Error: SQLite failed. The tables are unchanged.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(store, f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or later is needed")
    _version(connection, store, len(migrations))
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # for a new file; it cannot be set later
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(store, "its file system cannot be used: it has no shared memory for SQLite's WAL")
    if _version(connection, store, len(migrations)) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done this meanwhile.
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
        StoreFormatError: it is not this package's store.
        sqlite3.Error: SQLite failed.
    """
    if _version(connection, store, len(MIGRATIONS)) == 0:
        raise StoreFormatError(store, "it is empty, and no store of this package yet")


# One statement, so that all is as of one moment.
_WHOSE: Final = (
    "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
    " FROM pragma_application_id, pragma_user_version"
)


def _version(connection: sqlite3.Connection, store: str, known: int) -> int:
    """Return the version of the schema, 0 for an empty file. Raise for a database that is not ours to change."""
    application, version, tables = connection.execute(_WHOSE).fetchone()
    if application == APPLICATION_ID:
        if version > known:
            raise StoreVersionError(store, version, known)
    elif application or version or tables:
        raise StoreFormatError(store, "it is an SQLite database, but none of this package; name another file")
    return int(version)
