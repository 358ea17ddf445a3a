"""How many forks lie between this process and the first one that loaded this package.

What belongs to one process notes `forks.count` when it is made, and compares it when it is used. Asking for the id of
the process instead would be a system call for each request. A leaf: it imports nothing of this package.
"""

from __future__ import annotations

import os

count: int = 0
"""Grows by one in the child of each fork. Read it through the module: a name imported from here would not follow."""


def _note_fork() -> None:
    global count
    count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
