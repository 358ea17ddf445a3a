"""Keep Python's garbage collector away from large documents. Each walk through one blocks the whole process.

Decoded documents have no cycles. They are freed when their last reference goes.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import Final

LARGE: Final = 16 * 1024
"""Bytes from which a text counts as large. For shorter texts the collector stays on."""

_lock = threading.Lock()
_set_aside = 0


_NOTHING: Final = contextlib.nullcontext()


def paused(text: bytes) -> AbstractContextManager[None]:
    """Pause collection while a large text is decoded: the new objects are no garbage yet."""
    return _NOTHING if len(text) < LARGE or not gc.isenabled() else _paused()


@contextlib.contextmanager
def _paused() -> Generator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def set_aside(text: bytes) -> AbstractContextManager[None]:
    """Exclude all present objects from collection while the document of a large text is in use.

    This has no effect in a process that has called `gc.freeze` itself: unfreezing would release its objects too.
    """
    return _NOTHING if len(text) < LARGE or not _begin() else _while_set_aside()


@contextlib.contextmanager
def _while_set_aside() -> Generator[None]:
    global _set_aside
    try:
        yield
    finally:
        with _lock:
            _set_aside -= 1
            if not _set_aside:
                gc.unfreeze()


def _begin() -> bool:
    global _set_aside
    with _lock:
        if not _set_aside and gc.get_freeze_count():
            return False
        _set_aside += 1
        gc.freeze()
        return True
