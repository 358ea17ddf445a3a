"""Checks that a path still names the open files.

A file that was removed, moved or replaced can still be written to. Other processes do not see these writes, and they
are gone once the last process has closed the file.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Final, TypeAlias

from ndb_models.errors import StoreError
from ndb_models.types import Clock

_logger = logging.getLogger(__name__)

# A look at the files is good enough for this many seconds.
_GOOD_FOR: Final = 0.5
# Suffixes of the files that SQLite keeps beside an open file.
_BESIDE: Final = ("-wal", "-shm")

_Inode: TypeAlias = tuple[int, int]


class FileIdentity:
    """Device and inode of a store's files when they were opened. Threads may share it.

    Args:
        path: the absolute path of the file.
        shown: its path for errors and the log.
        clock: tells seconds.
    """

    def __init__(self, path: str, shown: str, *, clock: Clock = time.monotonic) -> None:
        self.path = path
        self._shown = shown
        self._clock = clock
        self._known: dict[str, _Inode] = {}
        self._lock = threading.Lock()
        self._looked = 0.0
        self._problem: str | None = None

    @property
    def is_lost(self) -> bool:
        """True if the path names other files now, or none."""
        return self._look(("", *_BESIDE)) is not None

    def forget_beside(self) -> None:
        """Forget the files beside the main file: they come and go with connections."""
        with self._lock:
            self._known = {suffix: inode for suffix, inode in self._known.items() if not suffix}

    def learn(self) -> None:
        """Remember the files, which have just been opened. Files that are known already must be the same as before.

        Raises:
            StoreError: a known file was removed, moved or replaced.
        """
        with self._lock:
            for suffix in ("", *_BESIDE):
                inode = _inode(self.path + suffix)
                if inode is not None:
                    self._known.setdefault(suffix, inode)
        self.require(within=0)

    def require(self, *, within: float = _GOOD_FOR) -> None:
        """Make sure that the path names the open files. A look within the last `within` seconds is good enough.

        Raises:
            StoreError: it does not. Once it does again, this no longer raises.
        """
        now = self._clock()
        if now - self._looked < within and self._problem is None:
            return
        self._looked = now
        self._take_note(self._look(("", *_BESIDE)))
        if self._problem is not None:
            raise StoreError(self._shown, self._problem)

    def require_file(self) -> None:
        """Make sure that the path names the main file, with a look at it now. Raises as `require`."""
        if self._look(("",)) is not None:
            self.require(within=0)

    def _look(self, suffixes: tuple[str, ...]) -> str | None:
        for suffix in suffixes:
            known = self._known.get(suffix)
            found = _inode(self.path + suffix) if known is not None else None
            if found != known:
                what = f"the file {suffix} beside it" if suffix else "the file"
                how = "was removed or moved" if found is None else "was replaced by another"
                return (
                    f"{what} {how} while it was open, so that what is written would be lost;"
                    " move it back, or close the store everywhere and open it again"
                )
        return None

    def _take_note(self, problem: str | None) -> None:
        """Remember the problem, and log each change once."""
        with self._lock:
            before, self._problem = self._problem, problem
        if problem is not None and before is None:
            _logger.error("%s: %s", self._shown, problem)
        elif problem is None and before is not None:
            _logger.warning("%s: the file is back, and is used again", self._shown)


def _inode(path: str) -> _Inode | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path costs as much again, at each commit
    except OSError:  # the file is gone
        return None
    return found.st_dev, found.st_ino
