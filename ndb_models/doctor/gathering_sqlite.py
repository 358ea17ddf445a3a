"""Gather the facts about a store in a file. The file is only read."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ndb_models.doctor.facts import SqliteFacts
from ndb_models.private_files import open_to
from ndb_models.stores.sqlite.options import SqliteUri
from ndb_models.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS

_FILES: Final = ("", "-wal", "-shm")
_MOUNTS: Final = Path("/proc/self/mounts")
_TIMEOUT: Final = 5.0
_HEADER: Final = 100
_WRITE_VERSION: Final = 18
_WAL: Final = b"\x02\x02"
_WRITABLE: Final = 0o022
_STICKY: Final = 0o1000


def sqlite_facts(uri: SqliteUri) -> SqliteFacts:
    """Return the facts about a store in a file. Blocks while SQLite looks for damage."""
    path = Path(uri.file)
    if not path.is_file():
        return SqliteFacts(path=uri.path, exists=False, synchronous=uri.options.synchronous)
    unreadable, mode, fault = _looked_into(path)
    return SqliteFacts(
        path=uri.path,
        exists=True,
        unreadable=unreadable,
        open_to=tuple(_opened(uri.path, path)),
        folder_open_to=_folder_open_to(path.parent),
        synchronous=uri.options.synchronous,
        journal_mode=mode,
        quick_check=fault,
        size=path.stat().st_size,
        log_size=_size(Path(f"{path}-wal")),
        free=_free(path.parent),
        file_system=_file_system(path),
    )


def _looked_into(path: Path) -> tuple[str | None, str, str | None]:
    """Return why a file is no store of ours, its journal mode, and the first fault in it."""
    # Without a log no process has the file open. A connection that only reads would leave an empty log behind.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=_TIMEOUT)) as connection:
            (owner,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if owner != APPLICATION_ID:
                return "it is a database of another program", "", ""
            if version > len(MIGRATIONS):
                return "a newer version of this package wrote it", "", ""
            (fault,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as exc:
        if isinstance(exc, sqlite3.OperationalError):
            return f"it cannot be opened: {exc}", "", ""
        return None, "", str(exc)
    return None, _journal_mode(path), None if fault == "ok" else " ".join(str(fault).split())


def _journal_mode(path: Path) -> str:
    """Return "wal", or "delete" for any other mode, by the file's header: https://sqlite.org/fileformat2.html."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    return "wal" if header[_WRITE_VERSION : _WRITE_VERSION + 2] == _WAL else "delete"


def _opened(shown: str, path: Path) -> Iterator[tuple[str, str]]:
    for suffix in _FILES:
        users = open_to(Path(f"{path}{suffix}"))
        if users is not None:
            yield f"{shown}{suffix}", users


def _folder_open_to(folder: Path) -> str | None:
    """Return the users besides its owner that may replace files in a folder. In a sticky folder there are none."""
    if sys.platform == "win32":
        return None
    with suppress(OSError):
        mode = folder.stat().st_mode
        if mode & _WRITABLE and not mode & _STICKY:
            return "every user of this machine" if mode & 0o002 else "its group"
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _file_system(path: Path) -> str:
    """Return the kind of file system that a file is on, by the longest mount point above it; "" if that is not told."""
    try:
        lines = _MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path)
    mounts = [line.split()[1:3] for line in lines if len(line.split()) > 2]
    above = [(len(point), kind) for point, kind in mounts if real == point or real.startswith(f"{point.rstrip('/')}/")]
    return max(above, default=(0, ""))[1]
