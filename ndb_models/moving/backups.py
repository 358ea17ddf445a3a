"""Backups of a store in a file. A backup is one private, checked file, and appears whole or not at all."""

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
from urllib.parse import urlsplit

from ndb_models.engine.temporary_folders import remove_leftovers, temporary_folder
from ndb_models.errors import InvalidArgumentError, NdbError, StoreError
from ndb_models.private_files import make_private_file
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

    The backup is the store as it was at one moment, expired sessions included. It has mode 0600. It has passed SQLite's
    `integrity_check` and reached the disk before it gets its name. A failure or a cancellation leaves no file behind.
    A cancellation after the backup is complete has no effect. To restore a backup, put it in the place of the store's
    file while no process has that file open.

    Args:
        store: the URI of the store, `sqlite:///PATH`.
        file: where the backup goes.
        overwrite: replace an existing file. Without it, an existing file is an error.
        report: called with the number of copied pages and the number of all pages.

    Raises:
        InvalidArgumentError: the URI names no store in a file, or the target exists or cannot be a file.
        StoreError: the store cannot be read or is damaged, or the backup cannot be written.
    """
    try:
        source = _source(store)
        target = await asyncio.to_thread(_free_place, source, file, overwrite)
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        if isinstance(exc, NdbError):
            raise
        raise InvalidArgumentError("the store or the file of the backup has a name that no file can have") from None
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
        raise InvalidArgumentError("only a store in a file has backups: sqlite:///PATH; for others, see 'copy'")
    source = parse_sqlite_uri(store)
    if not Path(source.file).is_file():
        raise InvalidArgumentError(f"there is no file {source.path}")
    return source


def _free_place(source: SqliteUri, file: str | os.PathLike[str], overwrite: bool) -> Path:
    target = Path(resolved(str(Path(file).parent)), Path(file).name)  # replaces a link itself, not its target
    if target.is_dir():
        raise InvalidArgumentError(f"{target} is a directory: name a file in it")
    if not target.parent.is_dir():
        raise InvalidArgumentError(f"{target.parent} is not a directory")
    with contextlib.suppress(OSError):  # the target does not exist
        if target.samefile(source.file):
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
    return InvalidArgumentError(f"{target} is there already: name another file, or ask for it to be overwritten")


def _back_up(
    source: SqliteUri, target: Path, overwrite: bool, report: Callable[[int, int], None], stopped: Callable[[], bool]
) -> int:
    try:
        remove_leftovers(target.parent)
        with temporary_folder(target.parent) as folder:
            copy = folder / "backup.db"
            os.close(make_private_file(copy))
            copy_file(source, copy, report, stopped)
            synchronise(copy)
            if stopped():
                raise BackupStoppedError
            size = copy.stat().st_size
            _name(copy, target, overwrite)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as exc:
        raise StoreError(str(target), f"the backup cannot be written: {exc.strerror or type(exc).__name__}") from exc
    if sys.platform != "win32":
        synchronise(target.parent)
    return size


def _name(copy: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        copy.replace(target)
        return
    try:
        os.link(copy, target)  # unlike a rename, this fails if the file exists
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError from None
        copy.rename(target)
