"""Runs a client's coroutines for threads that wait for them."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import warnings
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Final, TypeVar
from weakref import WeakSet

from ndb_models import forks
from ndb_models.client import NdbClient
from ndb_models.errors import NotConnectedError, UnsupportedError
from ndb_models.sync.calls import LoopCall
from ndb_models.sync.interrupts import without_ctrl_c
from ndb_models.sync.turn_loop import TurnLoop
from ndb_models.uncopyable import Uncopyable

T = TypeVar("T")

# Seconds that the end of the process waits for its clients to close.
_FAREWELL: Final = 2.0

_INSIDE: Final = (
    "a synchronous call from inside of the client's own work, such as a validator, a step of an upgrade or a clock,",
    "it would wait for itself for ever; make it before or after",
)


class Portal(Uncopyable):
    """The event loop of one client, for callers in any thread.

    The loop is made for the first call. A call of a store in memory runs in the calling thread, in a turn of the loop
    (see `TurnLoop`). Other calls, and what is left after a turn, run in a thread of the client's own, which is started
    when it is needed. There no signal interrupts the work of a connection halfway, and connections are kept alive.

    Args:
        client: the client. Its requests are made on the loop of this portal alone.
        runs_here: True if calls run in the calling thread.
        renews: True if the client may be opened again in a forked process.
    """

    INSTEAD = NdbClient.INSTEAD

    def __init__(self, client: NdbClient, *, runs_here: bool, renews: bool) -> None:
        self.client = client
        self.runs_here = runs_here
        self.renews = renews
        # True in a forked process until the client has let go of what is the parent's.
        self._is_inherited = False
        # Held while the loop and the thread begin and end.
        self._lock = threading.Lock()
        self._loop: TurnLoop | None = None
        self._thread: threading.Thread | None = None
        self._until = asyncio.Event()
        self._calls = 0
        self._is_closing = False
        _portals.add(self)

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry out a coroutine, and return its outcome or raise its error.

        Raises:
            UnsupportedError: this is called from inside of the client's own work.
            NotConnectedError: the process is ending, or no thread can be started.
        """
        if self._is_inherited and self.renews:
            self._leave_to_parent()
        return self._carry_out(work)

    def close(self) -> None:
        """Close the client, and end its thread once no call is under way. Closing twice does no harm."""
        if self._loop is None and not self._is_inherited:
            return
        try:
            self._carry_out(self.client.close, closing=True)
        finally:
            self._is_inherited = False

    def _carry_out(self, work: Callable[[], Coroutine[Any, Any, T]], *, closing: bool = False) -> T:
        if self._loop is not None and _running_loop() is self._loop:
            raise UnsupportedError(*_INSIDE)
        counted_in: int | None = None
        try:
            with self._lock:
                if _is_exiting:
                    raise NotConnectedError("the process is ending, and its clients are closed")
                loop = self._loop
                if loop is None:
                    loop = without_ctrl_c(self._make_loop)
                self._is_closing = closing
                self._calls += 1
                counted_in = forks.count
            call: LoopCall[T] = LoopCall(loop, self)
            return call.outcome(work)
        finally:
            if counted_in == forks.count:
                with self._lock:
                    self._calls -= 1
                    thread = without_ctrl_c(self._let_go) if self._is_closing and not self._calls else None
                    # Another call that is the last does not wait: a thread that the loop waits for may have made it.
                    if thread is not None and closing:
                        thread.join()

    def _make_loop(self) -> TurnLoop:
        self._loop = loop = TurnLoop()
        return loop

    def enter(self, function: Callable[[], object]) -> None:
        """Have a function called in a turn of the loop: now and here, or soon in the client's thread."""
        loop = self._loop_in_use
        if self.runs_here and _running_loop() is None:
            try:
                is_all_done = without_ctrl_c(lambda: loop.take_turn(function))
            except BaseException:
                self._go_on_in_thread(loop)
                raise
            if not is_all_done:
                self._go_on_in_thread(loop)
        else:
            self.run_in_thread()
            loop.call_soon_threadsafe(function)

    def _go_on_in_thread(self, loop: TurnLoop) -> None:
        self.run_in_thread()
        loop.wake()

    @property
    def _loop_in_use(self) -> TurnLoop:
        loop = self._loop
        if loop is None:
            raise NotConnectedError("the client was closed in the middle of the call")
        return loop

    def run_in_thread(self) -> None:
        """Start the client's thread, if it is not running. A store in memory needs it where a call has to wait."""
        if self._thread is None:
            with self._lock:
                without_ctrl_c(self._start_thread)

    def _start_thread(self) -> None:
        """Start the client's thread, unless another caller did. With the lock held."""
        if self._thread is not None:
            return
        self._until = asyncio.Event()
        # It holds the client, and not the portal: a portal that is dropped ends it.
        work = (self._until, self.client.close)
        thread = threading.Thread(target=self._loop_in_use.serve, args=work, name="ndb_models.sync", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            raise NotConnectedError(f"the client's thread cannot be started: {exc}") from exc
        self._thread = thread

    def _let_go(self) -> threading.Thread | None:
        """Have the loop end, and return its thread, if it has one."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is None:
            loop.close()
        elif loop is not None:
            loop.call_soon_threadsafe(self._until.set)
        return thread

    def end_process(self) -> threading.Thread | None:
        """Have the client close and its thread end, even if calls are under way. Return the thread, if it has one."""
        return self._let_go()

    def forget_parent(self) -> None:
        """In a forked process, forget the parent's loop and its thread, which is not here."""
        self._lock = threading.Lock()
        if self._loop is not None:
            _of_parents.append(self._loop)
            self._is_inherited = True
        self._loop = self._thread = None
        self._calls = 0
        self._is_closing = False

    def _leave_to_parent(self) -> None:
        with _renewing:
            if self._is_inherited:
                self._carry_out(self.client.close)
                self._is_inherited = False

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        is_left_open = self.client.is_open and not self.runs_here
        if self._let_go() is not None and is_left_open:
            warn(f"unclosed {self.client!r}, in a SyncClient", ResourceWarning, source=self)


# It returns None where the public function raises.
_running_loop: Final[Callable[[], asyncio.AbstractEventLoop | None]] = asyncio._get_running_loop  # noqa: SLF001

_portals: Final[WeakSet[Portal]] = WeakSet()
_renewing = threading.Lock()
_is_exiting = False

# Event loops of parent processes. They share their selectors with this process, so they must never be closed here.
_of_parents: Final[list[TurnLoop]] = []


@atexit.register
def _end_process() -> None:
    global _is_exiting
    _is_exiting = True
    ending = [portal.end_process() for portal in list(_portals)]
    ends = monotonic() + _FAREWELL
    for thread in filter(None, ending):
        thread.join(max(0, ends - monotonic()))


def _forget_parents() -> None:
    global _renewing
    _renewing = threading.Lock()
    for portal in list(_portals):
        portal.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents)
