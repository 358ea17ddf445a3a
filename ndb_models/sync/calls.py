"""One call of a synchronous verb: a task of the client's event loop, and the thread that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Set
from contextvars import ContextVar
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from pydantic import BaseModel

from ndb_models import forks
from ndb_models.errors import InvalidArgumentError, NotConnectedError

T = TypeVar("T")
A = TypeVar("A")

# Seconds that an interrupted call waits for its task to end.
_TIMEOUT: Final = 1.0

_MISSING: Final = object()

_CLOSED: Final = "the client was closed in the middle of the call, which may or may not have been carried out"
_FORKED: Final = "the process was forked in the middle of a call, which goes on in the parent"


class Entrance(Protocol):
    """The way to an event loop that another thread may run."""

    def enter(self, function: Callable[[], object]) -> None:
        """Have a function called in a turn of the loop: now and here, or soon in the thread that runs it."""

    def run_in_thread(self) -> None:
        """Have a thread run the loop, if none does yet."""


class LoopCall(Generic[T]):
    """A coroutine on an event loop, in the context of the thread that made the call and waits for it.

    Functions that the caller gave, such as the one of `mutate`, are called in the waiting thread: they have its
    thread-locals, may block, and may make calls of their own.

    Args:
        loop: the event loop.
        entrance: the way to it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, entrance: Entrance) -> None:
        self._loop = loop
        # Weak, as tasks that outlive the call have its context, and with it this object.
        self._entrance = weakref.ref(entrance)
        self._at_start = contextvars.copy_context()
        self._forks = forks.count
        self._task: asyncio.Task[None] | None = None
        # What the waiting thread has to do; None at the end.
        self._for_caller: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Functions that were asked for and not called yet. Once the waiting thread has left, other threads call them.
        self._asked: dict[object, Callable[[], None]] = {}
        self._is_over = False
        self._values: list[T] = []
        self._error: BaseException | None = None

    def outcome(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry out the coroutine that `work` makes, and return its outcome or raise its error.

        If an exception interrupts the wait, such as `KeyboardInterrupt`, the task is cancelled.
        """
        for_caller = self._for_caller
        try:
            self._enter(partial(self._begin, work))
            while True:
                if for_caller.empty():
                    self._entered.run_in_thread()
                needed = for_caller.get()
                if needed is None:
                    break
                needed()
        except BaseException:
            self._cancel()
            raise
        finally:
            self._task = None  # its context holds this object
            self._is_over = True
            self._hand_over()
        if self._values:
            return self._values.pop()
        error, self._error = self._error, None
        try:
            raise NotConnectedError(_CLOSED) if error is None or isinstance(error, asyncio.CancelledError) else error
        finally:
            del error  # its traceback holds this frame

    def _enter(self, function: Callable[[], object]) -> None:
        self._entered.enter(function)

    @property
    def _entered(self) -> Entrance:
        entrance = self._entrance()
        if entrance is None:
            raise NotConnectedError("the call is over")
        return entrance

    def _begin(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._task = self._loop.create_task(self._run(work), context=self._at_start.copy())

    async def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        _present.set(self)
        try:
            self._values.append(await work())
        except BaseException as exc:  # noqa: BLE001 - raised in the waiting thread
            self._error = exc
        finally:
            self._for_caller.put(None)

    def _cancel(self) -> None:
        """Cancel the task, and wait a moment for its end."""
        if forks.count != self._forks:
            return
        with contextlib.suppress(NotConnectedError, Empty):
            self._enter(self._cancel_task)
            ends = monotonic() + _TIMEOUT
            while self._for_caller.get(timeout=max(0, ends - monotonic())) is not None:
                pass

    def _cancel_task(self) -> None:
        if self._task is None or self._task.done():
            self._for_caller.put(None)
        else:
            self._task.cancel()

    def tell(self, function: Callable[[], object]) -> None:
        """From the task: have a function called in the waiting thread, and go on. What it raises ends the call."""

        def call() -> None:
            function()

        self._for_caller.put(call)

    async def ask(self, function: Callable[[], A]) -> A:
        """From the task: call a function in the waiting thread, and wait for its outcome."""
        done: asyncio.Future[None] = self._loop.create_future()
        outcome: list[A] = []
        errors: list[Exception] = []
        context = contextvars.copy_context()
        ticket = object()

        def go_on() -> None:
            if not done.cancelled():
                done.set_result(None)

        def answer() -> None:
            if self._asked.pop(ticket, None) is None or done.cancelled():  # another thread calls it
                return
            try:
                outcome.append(context.run(function) if self._is_over else self._call_with(context, function))
            except Exception as exc:  # noqa: BLE001 - raised in the task
                errors.append(exc)
            except BaseException:  # it interrupts the waiting thread; the task may be one that goes on after the call
                if forks.count == self._forks:
                    self._enter(done.cancel)
                raise
            if forks.count != self._forks:
                raise InvalidArgumentError(_FORKED)
            self._enter(go_on)

        self._asked[ticket] = answer
        self._for_caller.put(answer)
        if self._is_over:
            self._hand_over()
        await done
        if errors:
            raise errors.pop()
        return outcome.pop()

    def _hand_over(self) -> None:
        """Have other threads call what was asked for, for tasks that go on after the call."""
        for answer in tuple(self._asked.values()):
            with contextlib.suppress(NotConnectedError):  # the client is closed, and its tasks with it
                self._enter(partial(self._loop.run_in_executor, None, answer))

    def _call_with(self, context: contextvars.Context, function: Callable[[], A]) -> A:
        """Call a function with the variables that the task has set, such as its locks, for calls made there."""
        carried = [
            (variable, variable.set(value))
            for variable, value in context.items()
            if self._at_start.get(variable, _MISSING) is not value
        ]
        try:
            return function()
        finally:
            for variable, token in carried:
                variable.reset(token)


_present: ContextVar[LoopCall[Any]] = ContextVar("ndb_models.sync.call")


async def in_caller(function: Callable[[], A]) -> A:
    """Call a function in the thread of the present call, or else in another thread, and wait for its outcome."""
    call = _present.get(None)
    return await (asyncio.to_thread(function) if call is None else call.ask(function))


def lent(function: Callable[[A], object]) -> Callable[[A], Awaitable[None]]:
    """Return an asynchronous function that calls the given one in the thread of the present call."""

    async def call(argument: A) -> None:
        returned = await in_caller(lambda: function(argument))
        if inspect.iscoroutine(returned):
            returned.close()
            raise InvalidArgumentError("the function given to mutate() is synchronous here: def change(session): ...")
        return cast("None", returned)  # another value is refused by the verb

    return call


def told(function: Callable[[A], object] | None) -> Callable[[A], None] | None:
    """Return a function that has the given one called in the thread of the present call, and does not wait for it."""
    if function is None:
        return None
    called = function

    def call(argument: A) -> None:
        _present.get().tell(lambda: called(argument))

    return call


def taken(items: T) -> T:
    """Return an argument. If iterating over it may run code of the caller's, return a list of its items instead."""
    given: object = items
    if isinstance(given, (str, bytes, BaseModel, list, tuple, Set)) or not isinstance(given, Iterable):
        return items
    return cast("T", list(cast("Iterable[object]", given)))
