"""Folders that are filled under a temporary name, and what is left of them where a process died meanwhile.

A folder that is being filled is locked by the process that fills it; one that is not locked is a leftover. The lock
ends with the process, however that ends. Where a system cannot lock folders, leftovers stay, under names that no data
set has.
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
    """Make a private folder under a name of its own. At the end it is gone, unless it was renamed.

    Raises:
        OSError: it cannot be made.
    """
    folder = parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
    make_private_folder(folder)
    try:
        with _opened(folder) as descriptor:
            _lock(descriptor)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(parent: Path) -> int:
    """Remove the temporary folders that nobody fills any more; return how many there were."""
    removed = 0
    for folder in parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError), _opened(folder) as descriptor:  # another may have been quicker
            if _lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


@contextlib.contextmanager
def _opened(folder: Path) -> Generator[int | None]:
    """Open a folder, and close it; None where a system opens none."""
    if sys.platform == "win32":
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int | None) -> bool:
    """Lock an open folder until it is closed; return False where another has, or where folders cannot be locked."""
    if sys.platform == "win32" or descriptor is None:
        return False
    import fcntl  # where there is none, nobody comes so far

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
