"""Ctrl-C waits until a turn is over: it must not interrupt the work of a store halfway."""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final, TypeVar

T = TypeVar("T")

# The functions under `signal`'s own, which spend ten times as long on making enums.
_get_handler: Final = inspect.unwrap(signal.getsignal)
_set_handler: Final = inspect.unwrap(signal.signal)

_CTRL_C: Final = int(signal.SIGINT)


def without_ctrl_c(work: Callable[[], T]) -> T:
    """Call a function. The `KeyboardInterrupt` of a Ctrl-C meanwhile is raised at its end.

    As in `asyncio.run`, this holds in the main thread, unless the program has a handler of its own.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or _get_handler(_CTRL_C) is not signal.default_int_handler:
        return work()
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)

    _set_handler(_CTRL_C, note)
    try:
        return work()
    finally:
        _set_handler(_CTRL_C, signal.default_int_handler)
        if pressed:
            raise KeyboardInterrupt
