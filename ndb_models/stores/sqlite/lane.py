"""A thread that owns a connection, and carries out what event loops hand it: all that waits in one transaction.

What one turn of a loop asks for goes over together, and its answers come back together, after the commit. If one of a
transaction fails, it is rolled back and each is carried out for itself, so that only those at fault fail. Work may
therefore be carried out more than once, and only the last time counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

from ndb_models.errors import StoreError
from ndb_models.stores.contract import UnknownSessionError
from ndb_models.stores.sqlite.failures import is_locked, translated
from ndb_models.stores.sqlite.patience import patiently
from ndb_models.stores.sqlite.tables import Tables

T = TypeVar("T")

Work: TypeAlias = Callable[[Tables], T]
"""What is done in a transaction."""

# The most that go into one transaction: it must not keep other processes out for long.
_MOST_TOGETHER: Final = 512


@dataclass(slots=True)
class _Request:
    """Something to do, and who waits for it. `durable`: the answer waits until it has reached the disk."""

    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    work: Work[Any]
    durable: bool


_Outcome: TypeAlias = tuple[Any, Exception | None]
_Answer: TypeAlias = tuple["asyncio.Future[Any]", Any, "Exception | None"]


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """What kind of transactions a lane makes.

    Args:
        store: where the store is, for errors.
        begin: the statement that begins one.
        patience: seconds to wait for others' locks.
        synchronous: how a transaction reaches the disk in which there is something durable. One in which there is
            nothing is committed without waiting for the disk.
    """

    store: str
    begin: str
    patience: float
    synchronous: str = "NORMAL"


class Lane:
    """One thread and its connection. May be handed work by any event loop of this process.

    Args:
        open_tables: makes the connection, in the thread.
        options: what kind of transactions it makes.
    """

    def __init__(self, open_tables: Callable[[], Tables], options: LaneOptions) -> None:
        self.opened: Future[None] = Future()
        self.closed: Future[None] = Future()
        # Those that must be closed before: of two that close at once, neither would be the last, who tidies up.
        self.closes_after: Sequence[Lane] = ()
        self._open_tables = open_tables
        self._options = options
        self._pid = os.getpid()
        self._taking = False
        # What each loop has asked for in this turn.
        self._outboxes: dict[asyncio.AbstractEventLoop, list[_Request]] = {}
        self._queue: SimpleQueue[list[_Request] | None] = SimpleQueue()
        # Held so that nothing is put into the queue behind its end.
        self._ending = threading.Lock()
        self._ended = False
        self._synchronous = ""

    def start(self) -> None:
        """Start the thread. Whether it could open its connection is in `opened`."""
        # A daemon: a store that nobody closed must not keep the interpreter from ending. What it was doing then is
        # rolled back, as after any death.
        threading.Thread(target=self._live, name=f"ndb_models {self._options.begin}", daemon=True).start()

    def do(self, work: Work[T], *, durable: bool = True) -> asyncio.Future[T]:
        """Hand over work; return what waits for its outcome. Cancelling that leaves it open whether it is carried out.

        Raises:
            StoreError: the lane is not open, or is that of the process from which this one was forked.
        """
        if not self._taking:
            raise self._not_open()
        if os.getpid() != self._pid:
            raise StoreError(self._options.store, "it was opened before this process was forked: open it after that")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        outbox = self._outboxes.get(loop)
        if outbox is None:
            outbox = self._outboxes[loop] = []
            loop.call_soon(self._hand_over, loop)
        outbox.append(_Request(loop, answer, work, durable))
        return answer

    def _not_open(self) -> StoreError:
        return StoreError(self._options.store, "the store is not open: it was closed, or never opened")

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        requests = [request for request in self._outboxes.pop(loop, ()) if not request.answer.done()]
        with self._ending:
            if requests and not self._ended:
                self._queue.put(requests)
                return
        for request in requests:
            request.answer.set_exception(self._not_open())

    def leave(self) -> None:
        """Take no more, carry out what this loop has asked for, and close the connection. Twice does no harm."""
        self._taking = False
        with contextlib.suppress(RuntimeError):  # there may be no loop here, and nothing that one has asked for
            self._hand_over(asyncio.get_running_loop())
        with self._ending:
            if not self._ended:
                self._ended = True
                self._queue.put(None)

    # What follows runs in the thread.

    def _live(self) -> None:
        try:
            tables = self._open_tables()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is for those who wait for the opening
            self.opened.set_exception(translated(self._options.store, exc))
            self.closed.set_result(None)
            return
        try:
            self._taking = not self._ended
            self.opened.set_result(None)
            while (requests := self._next()) is not None:
                _answer(requests, self._carry_out(tables, requests))
        finally:
            for lane in self.closes_after:
                lane.closed.result()
            tables.connection.close()
            self.closed.set_result(None)

    def _next(self) -> list[_Request] | None:
        """Return all that waits, as far as it goes together; None at the end."""
        requests = self._queue.get()
        if requests is not None:
            while len(requests) < _MOST_TOGETHER and not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    self._queue.put(None)
                    break
                requests += more
        return requests

    def _carry_out(self, tables: Tables, requests: Sequence[_Request]) -> list[_Outcome]:
        try:
            return patiently(lambda: self._together(tables, requests), self._options.patience)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is for those who wait
            if is_locked(exc) or len(requests) == 1:
                return [(None, translated(self._options.store, exc)) for _ in requests]
        return [outcome for request in requests for outcome in self._carry_out(tables, [request])]

    def _together(self, tables: Tables, requests: Sequence[_Request]) -> list[_Outcome]:
        connection = tables.connection
        durable = any(request.durable for request in requests)
        self._set_synchronous(connection, self._options.synchronous if durable else "NORMAL")
        try:
            connection.execute(self._options.begin)
            outcomes = [_outcome(request.work, tables) for request in requests]
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
        return outcomes

    def _set_synchronous(self, connection: sqlite3.Connection, synchronous: str) -> None:
        if synchronous != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous


def _outcome(work: Work[Any], tables: Tables) -> _Outcome:
    try:
        return work(tables), None
    except UnknownSessionError as exc:  # an answer like any other
        return None, exc


def _answer(requests: Sequence[_Request], outcomes: Sequence[_Outcome]) -> None:
    """Hand each loop its answers, all at once."""
    answers: dict[asyncio.AbstractEventLoop, list[_Answer]] = {}
    for request, outcome in zip(requests, outcomes, strict=True):
        answers.setdefault(request.loop, []).append((request.answer, *outcome))
    for loop, its_own in answers.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(_deliver, its_own)


def _deliver(answers: Sequence[_Answer]) -> None:
    for answer, result, failure in answers:
        if answer.done():  # cancelled
            continue
        if failure is None:
            answer.set_result(result)
        else:
            answer.set_exception(failure)
