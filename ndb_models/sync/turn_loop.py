"""An event loop that several threads may enter, one at a time."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from time import perf_counter, sleep
from typing import Final, TypeVarTuple, Unpack

from ndb_models.turns import TURN

Ts = TypeVarTuple("Ts")

# Seconds that a waiting thread gets to take the turn.
_TO_WAKE: Final = 50e-6


class TurnLoop(asyncio.SelectorEventLoop):
    """An event loop with a turn, which one thread has at a time.

    The thread that runs the loop has the turn, except while it waits for events. Meanwhile another thread may take the
    turn, and do the same as a callback of the loop. So a coroutine that never waits runs in the thread that needs its
    outcome. Running it in another thread takes two switches of threads, which can be slower than a request.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        # An entry for each thread that waits for the turn.
        self._waiting: deque[None] = deque()
        # The callbacks to run in the turn of a calling thread; None while no calling thread has the turn.
        self._ready_here: deque[_Ready] | None = None
        self._timer_was_set = False
        super().__init__(_TurnSelector(self._turn, self._waiting))
        self.set_debug(False)  # in debug mode, asyncio refuses all threads but the one that runs the loop

    def serve(self, until: asyncio.Event, closing: Callable[[], Awaitable[None]]) -> None:
        """Run until the event is set. Then await `closing`, cancel the remaining tasks, and close the loop."""

        async def main() -> None:
            await until.wait()
            await closing()

        with self._turn, asyncio.Runner(loop_factory=lambda: self) as runner:
            runner.run(main())

    def take_turn(self, begin: Callable[[], object]) -> bool:
        """In a thread without a running loop: wait for the turn, call `begin`, and run the callbacks that this causes.

        A turn lasts a millisecond. Returns False if something is left for the thread that runs the loop.
        """
        self._waiting.append(None)
        with self._turn:
            self._waiting.pop()
            asyncio._set_running_loop(self)  # noqa: SLF001 - exported for event loops
            self._ready_here = ready = deque[_Ready]()
            self._timer_was_set = False
            ends = perf_counter() + TURN
            try:
                begin()
                while ready:
                    ready.popleft().run()
                    if ready and perf_counter() > ends:
                        break
            finally:
                self._ready_here = None
                asyncio._set_running_loop(None)  # noqa: SLF001 - as above
                for handle in ready:
                    super().call_soon(handle.run)
            return not ready and not self._timer_was_set

    def wake(self) -> None:
        """Let the thread that runs the loop look for work."""
        self.call_soon_threadsafe(_nothing)

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call a function soon. In the turn of a calling thread, it is called there."""
        ready = self._ready_here
        if ready is None:
            return super().call_soon(callback, *args, context=context)
        handle = _Ready(callback, args, self, context)
        ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call a function at a time of the loop's clock."""
        self._timer_was_set = True
        return super().call_at(when, callback, *args, context=context)


class _TurnSelector(selectors.DefaultSelector):
    """Lets go of the turn while it waits."""

    def __init__(self, turn: threading.Lock, waiting: deque[None]) -> None:
        super().__init__()
        self._turn = turn
        self._waiting = waiting

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turn.release()
        if self._waiting:
            sleep(_TO_WAKE)  # a lock does not go by turns: the thread that waits must be awake to take it
        try:
            return super().select(timeout)
        finally:
            self._turn.acquire()


class _Ready(asyncio.Handle):
    """A function that is called in the turn of a calling thread."""

    def run(self) -> None:
        if not self.cancelled():
            self._run()


def _nothing() -> None:
    pass
