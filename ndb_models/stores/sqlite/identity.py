"""Whether a path still names the files that are open.

A file that was removed, moved or replaced can be written to as ever. What is written then is seen by no other process,
and is gone with the last process that has it open.
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

# The longest time, in seconds, for which the last look at the files is good enough.
_GOOD_FOR: Final = 0.5
# What SQLite keeps beside a file that is open.
_BESIDE: Final = ("-wal", "-shm")

_Inode: TypeAlias = tuple[int, int]


class FileIdentity:
    """Device and inode of a store's files, as they were when they were opened. Threads may share it.

    Args:
        path: the file, absolute.
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
        """Forget the files beside it: they come and go with connections."""
        with self._lock:
            self._known = {suffix: inode for suffix, inode in self._known.items() if not suffix}

    def learn(self) -> None:
        """Take note of the files, which have just been opened. The file itself must be the one that it was before.

        Raises:
            StoreError: it is another.
        """
        with self._lock:
            for suffix in ("", *_BESIDE):
                inode = _inode(self.path + suffix)
                if inode is not None:
                    self._known.setdefault(suffix, inode)
        self.require(within=0)

    def require(self, *, within: float = _GOOD_FOR) -> None:
        """Make sure that the path names the open files; a look that is so many seconds old is good enough.

        Raises:
            StoreError: it does not. Once it does again, this does not raise any more.
        """
        now = self._clock()
        if now - self._looked < within and self._problem is None:
            return
        self._looked = now
        self._take_note(self._look(("", *_BESIDE)))
        if self._problem is not None:
            raise StoreError(self._shown, self._problem)

    def require_file(self) -> None:
        """Do what `require` does for the file alone, with a look at it now."""
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
        """Remember what is wrong, and log each change once."""
        with self._lock:
            before, self._problem = self._problem, problem
        if problem is not None and before is None:
            _logger.error("%s: %s", self._shown, problem)
        elif problem is None and before is not None:
            _logger.warning("%s: the file is back, and is used again", self._shown)


def _inode(path: str) -> _Inode | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path costs as much again, at each commit
    except OSError:
        return None
    return found.st_dev, found.st_ino
