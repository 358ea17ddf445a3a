"""Ctrl-C waits until a turn is over: it must not interrupt the work of a store halfway."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import Final, TypeAlias, TypeVar

T = TypeVar("T")

Handler: TypeAlias = Callable[[int, FrameType | None], object]

# `signal.signal` and `signal.getsignal` call these, and also make enums, which takes longer than a request.
_signal: Final = import_module("_signal")
_set_handler: Final[Callable[[int, Handler], object]] = _signal.signal
_get_handler: Final[Callable[[int], object]] = _signal.getsignal

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
