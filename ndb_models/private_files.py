"""Files and folders that are their owner's alone, whatever the umask, and warnings of those that are not.

Sessions, tokens and keys of certificates are secrets. What this package makes is private from the start: at no moment
does it have a wider mode. What is there already is never changed: its owner may mean it so, and is told once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_logger = logging.getLogger(__name__)

_FOLDER: Final = 0o700
_FILE: Final = 0o600
_OF_GROUP: Final = 0o070
_OF_OTHERS: Final = 0o007
# Where a file has such a list, the group's bits of its mode are only the most that the list may allow.
_ACCESS_LIST: Final = "system.posix_acl_access"

# Paths of which was warned in this process, and in those that it was forked from.
_told: set[str] = set()


def make_private_folder(folder: Path, *, exist_ok: bool = False) -> None:
    """Make a folder of mode 0700. With `exist_ok`, one that is there stays as it is.

    Raises:
        OSError: it cannot be made; `FileExistsError` if it is there.
    """
    try:
        folder.mkdir(_FOLDER)
    except FileExistsError:
        if not (exist_ok and folder.is_dir()):
            raise
    else:
        # The umask may take rights of the owner too, and there are file systems without modes.
        if _bits(folder) != _FOLDER:
            with contextlib.suppress(OSError):
                folder.chmod(_FOLDER)


def make_private_file(path: str | os.PathLike[str]) -> int:
    """Make a file of mode 0600, open it for reading and writing, and return its descriptor, which is to be closed.

    Raises:
        OSError: it cannot be made; `FileExistsError` if it is there.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), _FILE)
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # as of folders
            os.fchmod(descriptor, _FILE)
    return descriptor


def warning_if_open_to_others(path: Path) -> str | None:
    """Return a warning if users besides its owner may read or change a file, as far as its mode tells.

    None if it is private, if there is nothing at the path, and on Windows, where modes tell nothing.
    """
    others = open_to(path)
    return None if others is None else f"{path} is open to {others}; make it private with: chmod go-rwx {_quoted(path)}"


def warn_if_open_to_others(path: Path) -> bool:
    """Log a warning if a file is open to other users, once for each path; return True if it is open."""
    warning = warning_if_open_to_others(path)
    if warning is not None:
        _warn_once(path, warning)
    return warning is not None


def warn_of_folders(folder: Path, named: Sequence[Path]) -> None:
    """Log a warning, once for each folder, if there are folders in it that other users can get to, and read or change.

    In a folder that is private, all is private.

    Args:
        folder: where they are.
        named: those in it that are to be private.
    """
    if open_to(folder) is None:
        return
    opened = sum(open_to(each) is not None for each in named)
    if opened:
        how = f"make them private with: chmod -R go-rwx {_quoted(folder)}"
        _warn_once(folder, f"{opened} data sets in {folder} are open to other users of this machine; {how}")


def _warn_once(path: Path, warning: str) -> None:
    if str(path) not in _told:
        _told.add(str(path))
        _logger.warning("%s", warning)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def open_to(path: Path) -> str | None:
    """Return which users besides its owner may read or change a file or a folder; None for nobody else."""
    if sys.platform == "win32":
        return None
    try:
        bits = _bits(path)
        if bits & _OF_OTHERS:
            return "every user of this machine"
        if bits & _OF_GROUP and not _has_access_list(path):
            return "its group"
    except OSError:
        pass  # it is not there, or cannot be looked at: whoever opens it says so
    return None


def _has_access_list(path: Path) -> bool:
    return sys.platform == "linux" and _ACCESS_LIST in os.listxattr(path)


def _bits(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o777
