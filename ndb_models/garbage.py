"""Keeping the collection of garbage away from large documents: walking through one again and again holds everything up.

What is decoded has no cycles. It goes by itself when it is let go of.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import Final

LARGE: Final = 16 * 1024
"""Bytes of a text that is large; shorter ones are let be."""

_lock = threading.Lock()
_set_aside = 0


_NOTHING: Final = contextlib.nullcontext()


def paused(text: bytes) -> AbstractContextManager[None]:
    """Pause collection while a large text is decoded: what is made then is no garbage yet."""
    return _NOTHING if len(text) < LARGE or not gc.isenabled() else _paused()


@contextlib.contextmanager
def _paused() -> Generator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def set_aside(text: bytes) -> AbstractContextManager[None]:
    """Leave out of collection what is there, as long as the document of a large text is used.

    In a process that has set something aside for good (`gc.freeze`), this does nothing: it could not be told apart.
    """
    return _NOTHING if len(text) < LARGE or not _begin() else _while_set_aside()


@contextlib.contextmanager
def _while_set_aside() -> Generator[None]:
    try:
        yield
    finally:
        _end()


def _begin() -> bool:
    global _set_aside
    with _lock:
        if not _set_aside and gc.get_freeze_count():
            return False
        _set_aside += 1
        gc.freeze()
        return True


def _end() -> None:
    global _set_aside
    with _lock:
        _set_aside -= 1
        if not _set_aside:
            gc.unfreeze()
