"""Signals that tell a server to stop or to reload. None is lost, and none ends the process before it is handled.

Signals are blocked from the start of a process until its handlers are set, and are delivered then. After the handlers
are removed, signals are ignored: the process is about to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Generator
from typing import Final

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
RELOADING: Final = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()
_HANDLED: Final = (*STOPPING, *RELOADING)


def hold_signals() -> None:
    """Block signals until there are handlers for them. Threads that this one starts block them too."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)


@contextlib.contextmanager
def handling_signals(*, stop: Callable[[], None], reload: Callable[[], None]) -> Generator[None]:
    """Handle signals on the running event loop: call `stop` for SIGINT and SIGTERM, `reload` for SIGHUP.

    Waiting signals are handled at once. Of many SIGHUPs at a time, a turn of the loop handles one, so that they do not
    delay a stop. Signals are ignored afterwards, so the process must end then, and must have no other threads.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Handle | None = None

    def reload_now() -> None:
        nonlocal waiting
        waiting = None
        reload()

    def reload_soon() -> None:
        nonlocal waiting
        if waiting is None:
            waiting = loop.call_soon(reload_now)

    for number in STOPPING:
        loop.add_signal_handler(number, stop)
    for number in RELOADING:
        loop.add_signal_handler(number, reload_soon)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    try:
        yield
    finally:
        hold_signals()
        if waiting is not None:
            waiting.cancel()
        for number in _HANDLED:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
