"""Private files and folders under any umask, and warnings about files that other users can reach.

Sessions, tokens and keys of certificates are secrets. This package makes its files and folders private from the start:
they never have a wider mode. It never changes an existing one, since its owner may mean it so. It warns once instead.
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
# If a file has an access list, the group bits of its mode only limit the rights of that list.
_ACCESS_LIST: Final = "system.posix_acl_access"

# Paths already warned about, in this process and the processes that it was forked from.
_told: set[str] = set()


def make_private_folder(folder: Path, *, exist_ok: bool = False) -> None:
    """Make a folder of mode 0700. With `exist_ok`, an existing folder stays as it is.

    Raises:
        OSError: the folder cannot be made; `FileExistsError` if it exists.
    """
    try:
        folder.mkdir(_FOLDER)
    except FileExistsError:
        if not (exist_ok and folder.is_dir()):
            raise
    else:
        # The umask may remove the owner's rights too, and some file systems have no modes.
        if _bits(folder) != _FOLDER:
            with contextlib.suppress(OSError):  # its mode cannot be changed
                folder.chmod(_FOLDER)


def make_private_file(path: str | os.PathLike[str]) -> int:
    """Make a file of mode 0600, open it for reading and writing, and return its descriptor. The caller closes it.

    Raises:
        OSError: the file cannot be made; `FileExistsError` if it exists.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), _FILE)
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # as of folders
            os.fchmod(descriptor, _FILE)
    return descriptor


def warning_if_open_to_others(path: Path) -> str | None:
    """Return a warning if the mode of a file lets other users read or change it.

    None if the file is private or missing, and on Windows, where modes do not show access.
    """
    others = open_to(path)
    return None if others is None else f"{path} is open to {others}; make it private with: chmod go-rwx {_quoted(path)}"


def warn_if_open_to_others(path: Path) -> bool:
    """Return True if a file is open to other users. Log a warning then, once for each path."""
    warning = warning_if_open_to_others(path)
    if warning is not None:
        _warn_once(path, warning)
    return warning is not None


def warn_of_folders(folder: Path, named: Sequence[Path]) -> None:
    """Log a warning, once for each folder, if other users can read or change some of its subfolders.

    In a private folder, everything is private.

    Args:
        folder: the folder that holds them.
        named: the subfolders that should be private.
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
    """Return which users besides its owner may read or change a file or a folder; None if only the owner may."""
    if sys.platform == "win32":
        return None
    try:
        bits = _bits(path)
        if bits & _OF_OTHERS:
            return "every user of this machine"
        if bits & _OF_GROUP and not _has_access_list(path):
            return "its group"
    except OSError:
        pass  # missing or unreadable: opening it raises
    return None


def _has_access_list(path: Path) -> bool:
    return sys.platform == "linux" and _ACCESS_LIST in os.listxattr(path)


def _bits(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o777
