"""No connection to SQLite survives a fork.

SQLite remembers, for the whole process, which locks it holds on which file. A child inherits that memory, but not the
locks. It could damage a file that was open at the fork, even through a connection of its own. So all connections are
closed before a fork. The parent opens them again, and the child starts with none.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Generator
from typing import Final, Protocol
from weakref import WeakSet

from ndb_models.errors import StoreError

# The longest time, in seconds, that a fork waits for connections to close.
_LONGEST_WAIT: Final = 10.0


class Forkable(Protocol):
    """An object with a connection in a thread of its own. `path` is the file."""

    path: str

    def pause(self) -> None:
        """Have the connection closed as soon as its current work is done."""

    def wait_closed(self, seconds: float) -> bool:
        """Wait until it is closed; return False if that takes longer than `seconds`."""
        return True

    def resume(self) -> None:
        """Open the connection again."""


_all: WeakSet[Forkable] = WeakSet()
_forking = threading.RLock()
# How often each file is open by connections that are not registered; the files that stay open during the current fork;
# and the files that were open when this process was forked.
_in_use: Counter[str] = Counter()
_still_open: set[str] = set()
_inherited: set[str] = set()
_forks = 0


def register(connection: Forkable) -> None:
    """Have a connection closed before each fork, as long as the object lives."""
    with _forking:
        _all.add(connection)


def forks() -> int:
    """Return the number of forks between this process and the first one that loaded this module."""
    return _forks


def require_not_inherited(path: str, shown: str) -> None:
    """Refuse a file that this process cannot open safely.

    Raises:
        StoreError: it was open when this process was forked.
    """
    if path in _inherited:
        raise StoreError(shown, "it was being written when this process was forked: open it in another process")


@contextlib.contextmanager
def in_use(path: str) -> Generator[None]:
    """Mark a file as open by a connection that cannot be closed before forks, so that children refuse the file."""
    with _forking:
        _in_use[path] += 1
    try:
        yield
    finally:
        with _forking:
            _in_use[path] -= 1


def _before() -> None:
    _forking.acquire()
    _still_open.update(path for path, users in _in_use.items() if users)
    waited_for = list(_all)
    for connection in waited_for:
        connection.pause()
    give_up = time.monotonic() + _LONGEST_WAIT
    for connection in waited_for:
        if not connection.wait_closed(max(0.0, give_up - time.monotonic())):
            _still_open.add(connection.path)


def _after_in_parent() -> None:
    _still_open.clear()
    for connection in list(_all):
        connection.resume()
    _forking.release()


def _after_in_child() -> None:
    global _forking, _forks
    _forks += 1
    _inherited.update(_still_open)
    _still_open.clear()
    _in_use.clear()
    _all.clear()
    _forking = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
