"""Count the forks between this process and the first one that loaded this package.

An object of one process notes `forks.count` when it is made, and compares it when it is used. Asking for the process
id instead would cost a system call for each request. A leaf: it does not import from this package.
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
