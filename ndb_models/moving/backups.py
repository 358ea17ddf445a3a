"""Backups of stores. A backup is one private, checked SQLite file, and appears whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from ndb_models.engine.temporary_folders import remove_abandoned, temporary_folder
from ndb_models.errors import InvalidArgumentError, NdbError, StoreError
from ndb_models.moving.copying import Copied, copy
from ndb_models.private_files import make_private_file
from ndb_models.stores.redis.options import SCHEMES
from ndb_models.stores.sqlite.backup import BackupStoppedError, copy_file, synchronise
from ndb_models.stores.sqlite.options import SqliteUri, parse_sqlite_uri, resolved

# Files that SQLite keeps beside an open or unclosed file. It would take them for a part of the backup.
_BESIDE: Final = ("-wal", "-shm", "-journal")


async def backup(
    store: str,
    file: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> int:
    """Write a backup of a store to a file, and return its size in bytes. The store may be in use meanwhile.

    The backup is a SQLite file of mode 0600, whichever store it is of. It has passed SQLite's `integrity_check` and
    reached the disk before it gets its name. A failure or a cancellation leaves no file behind: another backup starts
    anew. A cancellation after the backup is complete has no effect.

    A backup of a file is the store as it was at one moment, expired sessions included. To restore it, put it in the
    place of the store's file while no process has that file open. A backup of a Redis has each live session whole, as
    it was at some moment of the backup. To restore it, `copy` it to an empty store. Sessions that have expired since
    stay away; the timers of the others start afresh.

    Args:
        store: the URI of the store: `sqlite:///PATH`, `redis://HOST`, `redis+cluster://HOST,HOST`.
        file: where the backup goes.
        overwrite: replace an existing file. Without it, an existing file is an error.
        report: called with how much is done and how much there is: pages of a file, or sessions of a Redis, where the
            second number may be too high until the end.

    Raises:
        InvalidArgumentError: the URI names no such store, or the target exists or cannot be a file.
        StoreError: the store cannot be read or is damaged, or the backup cannot be written.
    """
    try:
        source = None if _is_elsewhere(store) else _source(store)
        target = await asyncio.to_thread(_free_place, source, file, overwrite)
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        if isinstance(exc, NdbError):
            raise
        raise InvalidArgumentError("the store or the file of the backup has a name that no file can have") from None
    if source is not None:
        return await _to_file(source, target, overwrite, report)
    try:
        with temporary_folder(target.parent) as folder:
            collected = await _collected(store, folder, report)
            return await _to_file(collected, target, overwrite, None)
    except OSError as exc:
        if isinstance(exc, NdbError):
            raise
        raise _unwritable(target, exc) from exc


def _is_elsewhere(store: str) -> bool:
    return store.partition("://")[0] in SCHEMES


async def _collected(store: str, folder: Path, report: Callable[[int, int], None] | None) -> SqliteUri:
    """Copy a store on a Redis to a file in a folder, and return the URI of that file."""

    def tell(copied: Copied) -> None:
        if report is not None:
            report(copied.sessions, max(copied.sessions, copied.most_sessions or 0))

    uri = f"sqlite:///{quote(str(folder / 'collected.db'))}?synchronous=normal"
    copied = await copy(store, uri, report=tell, names=("--store", "--to"))
    if report is not None:
        report(copied.sessions, copied.sessions)
    return parse_sqlite_uri(uri)


async def _to_file(source: SqliteUri, target: Path, overwrite: bool, report: Callable[[int, int], None] | None) -> int:
    """Write a checked copy of a file to a target; return its size in bytes."""
    loop = asyncio.get_running_loop()
    stopping = threading.Event()

    def tell(done: int, total: int) -> None:
        if report is not None:
            loop.call_soon_threadsafe(report, done, total)

    working = asyncio.ensure_future(asyncio.to_thread(_back_up, source, target, overwrite, tell, stopping.is_set))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stopping.set()
        await asyncio.wait([working])
        if not working.cancelled() and working.exception() is None:
            return working.result()  # the backup was complete already
        raise


def _source(store: str) -> SqliteUri:
    try:
        scheme = urlsplit(store).scheme
    except ValueError:  # a malformed URI names no store either
        scheme = ""
    if scheme != "sqlite":
        raise InvalidArgumentError(
            "only sqlite:///PATH, redis://HOST and redis+cluster://HOST,HOST have backups; for others, see 'copy'"
        )
    source = parse_sqlite_uri(store)
    if not Path(source.file).is_file():
        raise InvalidArgumentError(f"there is no file {source.path}")
    return source


def _free_place(source: SqliteUri | None, file: str | os.PathLike[str], overwrite: bool) -> Path:
    target = Path(resolved(str(Path(file).parent)), Path(file).name)  # replaces a link itself, not its target
    if target.is_dir():
        raise InvalidArgumentError(f"{target} is a directory: name a file in it")
    if not target.parent.is_dir():
        raise InvalidArgumentError(f"{target.parent} is not a directory")
    with contextlib.suppress(OSError):  # the target does not exist
        if source is not None and target.samefile(source.file):
            raise InvalidArgumentError("that is the store itself: name another file")
    if not overwrite and os.path.lexists(target):
        raise _taken(target)
    if os.path.lexists(target) and not (stat.S_ISREG(mode := target.lstat().st_mode) or stat.S_ISLNK(mode)):
        raise InvalidArgumentError(f"{target} is a device, a pipe or a socket: name a file")
    for suffix in _BESIDE:
        beside = target.with_name(target.name + suffix)
        if os.path.lexists(beside):
            raise InvalidArgumentError(f"{beside} is there: a store of that name is open, or was not closed")
    return target


def _taken(target: Path) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{target} is there already: name another file, or replace it (--overwrite, overwrite=True)"
    )


def _back_up(
    source: SqliteUri, target: Path, overwrite: bool, report: Callable[[int, int], None], stopped: Callable[[], bool]
) -> int:
    try:
        remove_abandoned(target.parent)
        with temporary_folder(target.parent) as folder:
            whole = folder / "backup.db"
            os.close(make_private_file(whole))
            copy_file(source, whole, report, stopped)
            synchronise(whole)
            if stopped():
                raise BackupStoppedError
            size = whole.stat().st_size
            _name(whole, target, overwrite)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as exc:
        raise _unwritable(target, exc) from exc
    if sys.platform != "win32":
        synchronise(target.parent)
    return size


def _unwritable(target: Path, exc: OSError) -> StoreError:
    return StoreError(str(target), f"the backup cannot be written: {exc.strerror or type(exc).__name__}")


def _name(whole: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        whole.replace(target)
        return
    try:
        os.link(whole, target)  # unlike a rename, this fails if the file exists
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError from None
        whole.rename(target)
