"""Folders that are filled under a temporary name, and those that processes abandoned when they died.

A process locks the folder that it fills, so an unlocked folder is abandoned. The lock ends with the process, even in a
crash. If the system cannot lock folders, abandoned ones stay. No data set can have their names.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Final

from ndb_models.private_files import make_private_folder

_TEMPORARY: Final = ".ndb-models-"


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Generator[Path]:
    """Make a private folder under a unique name, and remove it at the end unless it was renamed.

    Raises:
        OSError: the folder cannot be made.
    """
    folder = parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
    make_private_folder(folder)
    try:
        with _opened(folder) as descriptor:
            _lock(descriptor)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> int:
    """Remove the temporary folders that no process fills any more; return how many there were."""
    removed = 0
    for folder in parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError), _opened(folder) as descriptor:  # already removed by another
            if _lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


@contextlib.contextmanager
def _opened(folder: Path) -> Generator[int | None]:
    """Open a folder, and close it at the end. Yield None on Windows, which cannot open folders."""
    if sys.platform == "win32":
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int | None) -> bool:
    """Lock an open folder until it is closed. Return False if it is locked already, or folders cannot be locked."""
    if sys.platform == "win32" or descriptor is None:
        return False
    import fcntl  # missing on Windows, which has returned already

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process holds it
        return False
    return True
