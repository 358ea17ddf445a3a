"""Signals that tell a server to stop or to reload. None is lost, and none ends the process before it is handled.

They are blocked from the start of a process until its handlers stand, and come then. After the handlers, they are
ignored: the process is about to end.
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
    """Have signals wait until there are handlers for them. Threads that this one starts have them wait too."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)


@contextlib.contextmanager
def handling_signals(*, stop: Callable[[], None], reload: Callable[[], None]) -> Generator[None]:
    """Call these on the running event loop: `stop` for SIGINT and SIGTERM, `reload` for SIGHUP.

    Those that waited come at once. The process is to end after this, and without other threads: signals are ignored.
    """
    loop = asyncio.get_running_loop()
    for number in STOPPING:
        loop.add_signal_handler(number, stop)
    for number in RELOADING:
        loop.add_signal_handler(number, reload)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    try:
        yield
    finally:
        hold_signals()
        for number in _HANDLED:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
