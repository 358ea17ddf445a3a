"""A request that a task waits for. The task resumes in the very call that delivers the answer.

An asyncio future resumes its task in the next turn of the event loop. That costs a system call and a handle for each
answer. A task waits for a `PendingRequest` as for a future, by asyncio's protocol for other awaitable objects
(`_asyncio_future_blocking`), but `deliver` resumes the task at once. So one turn reads the answer from the socket, runs
the task, and writes the task's next request.

The request goes out once its task has begun to wait. By then asyncio has checked that the task belongs to the
connection's event loop. Any other check would cost a system call for each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ndb_models.wire.exchange import Exchange
from ndb_models.wire.pipeline import Request


class PendingRequest(Request):
    """A request that its task can wait for. A coroutine yields it once, and goes on with `answer` or the error.

    It ends once: by an answer, an error, or cancellation. Later ones are ignored.

    Args:
        exchange: the request and its answer.
        deadline: when the answer is overdue, on the clock of the loop.
        loop: the loop of the tasks that may wait. In a task of another loop, waiting raises asyncio's RuntimeError, and
            the request is not submitted.
        submit: is called with the request once a task waits for it.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_error", "_loop", "_resume", "_submit", "done")

    def __init__(
        self,
        exchange: Exchange,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
        submit: Callable[[PendingRequest], None],
    ) -> None:
        self.exchange: Exchange = exchange
        self.deadline: float = deadline
        self.answer: bytes = b""
        self.is_abandoned: bool = False
        self.alone: bool = False
        self.patience: int = 1
        self.done: bool = False
        self._loop = loop
        self._submit = submit
        self._asyncio_future_blocking = True
        self._error: BaseException | None = None

    def deliver(self, *, at_once: bool) -> None:
        """End with the answer. With `at_once`, the task runs before this returns, until it waits again.

        Do not use `at_once` inside a task: another task cannot run there.
        """
        if self.done:
            return
        self.done = True
        if at_once:
            try:
                self._context.run(self._resume, self)
            except (SystemExit, KeyboardInterrupt) as exc:  # must end the loop, but not the hand-over of other answers
                self._loop.call_soon(_leave, exc)
        else:
            self._loop.call_soon(self._resume, self, context=self._context)

    def fail(self, error: BaseException) -> None:
        """End with an error. The task goes on in the next turn of the loop."""
        if self.done:
            return
        self.done = True
        self._error = error
        self._loop.call_soon(self._resume, self, context=self._context)

    # The protocol between asyncio's tasks and the objects that they wait for

    def result(self) -> bytes:
        """Return the answer, or raise the error."""
        if self._error is not None:
            raise self._error
        return self.answer

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the tasks that may wait."""
        return self._loop

    def add_done_callback(self, resume: Callable[[PendingRequest], object], *, context: Context) -> None:
        """Store the callback that resumes the waiting task, and submit the request."""
        self._resume, self._context = resume, context
        try:
            self._submit(self)
        except Exception as exc:  # noqa: BLE001 - the waiting task gets it, not asyncio
            self.fail(exc)

    def cancel(self, msg: Any | None = None) -> bool:
        """End because the task is cancelled. Return False if the request has already ended."""
        if self.done:
            return False
        self.is_abandoned = True
        self.fail(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        return True


def _leave(exc: BaseException) -> None:
    raise exc
