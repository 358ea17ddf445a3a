"""An event loop in a thread of its own, which does not depend on the loops of tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

# The seconds that work may take.
_LONGEST: Final = 30.0


class LoopThread:
    """A thread that runs an event loop: `with LoopThread() as thread: thread.run(work())`.

    Threads may call it with or without a running loop of their own.
    """

    def __init__(self) -> None:
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._serve, name="ndb_models.testing", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(_LONGEST)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        loop = self.loop
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(_LONGEST)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the thread."""
        return self._started.result(0)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work on the loop of the thread, and return its result. The calling thread waits.

        Raises:
            TimeoutError: the work took longer than 30 seconds, and was cancelled.
            Exception: the work raised it.
        """
        doing = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return doing.result(_LONGEST)
        except BaseException as exc:
            is_late = isinstance(exc, TimeoutError) and not doing.done()
            doing.cancel()
            if is_late:
                raise TimeoutError(f"this took longer than {_LONGEST:g} s, in a thread of its own") from exc
            raise

    def _serve(self) -> None:
        try:
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                self._started.set_result(loop)
                loop.run_forever()
        except BaseException as exc:
            if not self._started.done():
                self._started.set_exception(exc)
                return
            raise
