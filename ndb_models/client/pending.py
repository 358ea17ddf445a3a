"""A request that a task waits for, and going on in the very call that delivers its answer.

A future of asyncio resumes whoever awaits it in the next turn of the event loop, which costs a system call and a handle
for each answer. A `PendingRequest` is waited for like a future, by the protocol that asyncio has for objects that are
none (`_asyncio_future_blocking`); but `deliver` resumes its task at once. So the answer is read from the socket, its
task goes on, and the task's next request is written, all in one turn.

It goes out when its task has begun to wait. By then asyncio has seen that the task is one of the connection's event
loop, which would cost a system call for each request to find out otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ndb_models.wire.exchange import Exchange
from ndb_models.wire.pipeline import Request


class PendingRequest(Request):
    """A request, and what its task waits for: a coroutine yields it once, and goes on with `answer`, or the error.

    It ends once: by an answer, an error, or cancellation; whatever comes later is ignored.

    Args:
        exchange: what is asked.
        deadline: when the answer is overdue, on the clock of the loop.
        loop: whose tasks may wait. In a task of another one, waiting raises asyncio's RuntimeError, and nothing is
            submitted.
        submit: takes it once a task waits for it.
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
        """End with the answer. If `at_once`, the task goes on before this returns, up to where it waits again.

        That must not be asked for inside of a task: another cannot run there.
        """
        if self.done:
            return
        self.done = True
        if at_once:
            try:
                self._context.run(self._resume, self)
            except (SystemExit, KeyboardInterrupt) as exc:  # leaves the loop, but not the caller amid other answers
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

    # What asyncio's tasks ask of what they wait for

    def result(self) -> bytes:
        """Return the answer, or raise the error."""
        if self._error is not None:
            raise self._error
        return self.answer

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop whose tasks may wait."""
        return self._loop

    def add_done_callback(self, resume: Callable[[PendingRequest], object], *, context: Context) -> None:
        """Take how to resume the task, which has begun to wait."""
        self._resume, self._context = resume, context
        try:
            self._submit(self)
        except Exception as exc:  # noqa: BLE001 - whoever waits is told, not asyncio
            self.fail(exc)

    def cancel(self, msg: Any | None = None) -> bool:
        """End because the task is cancelled. Return False if this has ended already."""
        if self.done:
            return False
        self.is_abandoned = True
        self.fail(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        return True


def _leave(exc: BaseException) -> None:
    raise exc
