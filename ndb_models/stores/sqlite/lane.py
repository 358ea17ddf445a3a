"""A thread that owns a connection, and carries out what event loops hand it: all that waits in one transaction.

What one turn of a loop asks for goes over together, and its answers come back together, after the commit. If one of a
transaction fails, it is rolled back and each is carried out for itself, so that only those at fault fail. Work may
therefore be carried out more than once, and only the last time counts.

The lane that writes also stores noted extensions: with what it writes anyway, or by itself when they are due. An
extension that cannot be stored fails nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from ndb_models.errors import StoreError
from ndb_models.stores.sqlite.extensions import Extensions
from ndb_models.stores.sqlite.failures import is_locked, translated
from ndb_models.stores.sqlite.forking import Forkable, forks, register
from ndb_models.stores.sqlite.identity import FileIdentity
from ndb_models.stores.sqlite.patience import patiently
from ndb_models.stores.sqlite.requests import Outcome, Request, Work, deliver, outcome_of
from ndb_models.stores.sqlite.tables import Tables
from ndb_models.types import SessionToken

T = TypeVar("T")

# The most that go into one transaction: it must not keep other processes out for long.
_MOST_TOGETHER: Final = 512
# The most extensions that go along with what is written, and that are stored by themselves.
_MOST_ALONG: Final = 128
# How long, in seconds, extensions by themselves wait for others' locks: those who write then wait behind them.
_PATIENCE_FOR_EXTENSIONS: Final = 0.1


class _Signal(Enum):
    """What a thread is told by its queue, beside work."""

    LOOK = "look whether extensions are due"
    PAUSE = "close the connection, for a fork"
    END = "close the connection, and end"


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """What kind of transactions a lane makes.

    Args:
        store: where the store is, for errors.
        begin: the statement that begins one.
        patience: seconds to wait for others' locks.
        synchronous: how a transaction reaches the disk in which there is something durable. One in which there is
            nothing is committed without waiting for the disk.
        writes: it writes, and stores extensions.
    """

    store: str
    begin: str
    patience: float
    synchronous: str = "NORMAL"
    writes: bool = False


class Lane(Forkable):
    """One thread and its connection. May be handed work by any event loop of this process.

    Args:
        open_tables: makes the connection, in the thread.
        identity: of the file.
        extensions: those that are noted.
        options: what kind of transactions it makes.
    """

    def __init__(
        self,
        open_tables: Callable[[], Tables],
        identity: FileIdentity,
        extensions: Extensions,
        options: LaneOptions,
    ) -> None:
        self.opened: Future[None] = Future()
        self.closed: Future[None] = Future()
        # Those that must be closed before: of two that close at once, neither would be the last, who tidies up.
        self.closes_after: Sequence[Lane] = ()
        self.path: str = identity.path
        self._open_tables = open_tables
        self._identity = identity
        self._extensions = extensions
        self._options = options
        self._forks = forks()
        self._taking = False
        # What each loop has asked for in this turn.
        self._outboxes: dict[asyncio.AbstractEventLoop, list[Request]] = {}
        self._queue: SimpleQueue[list[Request] | _Signal] = SimpleQueue()
        self._read_already: _Signal | None = None
        # Held so that nothing is put into the queue behind its end.
        self._ending = threading.Lock()
        self._ended = False
        self._synchronous = ""
        self._disconnected = threading.Event()
        self._may_connect = threading.Event()
        self._may_connect.set()
        if options.writes:
            extensions.wake = self.wake

    def start(self) -> None:
        """Start the thread. Whether it could open its connection is in `opened`."""
        register(self)
        # A daemon: a store that nobody closed must not keep the interpreter from ending. What it was doing then is
        # rolled back, as after any death.
        threading.Thread(target=self._live, name=f"ndb_models {self._options.begin}", daemon=True).start()

    @property
    def is_inherited(self) -> bool:
        """True if it is that of the process from which this one was forked: it has no thread here."""
        return self._forks != forks()

    def do(self, work: Work[T], *, durable: bool = True) -> asyncio.Future[T]:
        """Hand over work; return what waits for its outcome. Cancelling that leaves it open whether it is carried out.

        Raises:
            StoreError: the lane is not open, or is that of the process from which this one was forked.
        """
        if not self._taking or self._forks != forks():
            raise self._not_open()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        outbox = self._outboxes.get(loop)
        if outbox is None:
            outbox = self._outboxes[loop] = []
            loop.call_soon(self._hand_over, loop)
        outbox.append(Request(loop, answer, work, durable))
        return answer

    def _not_open(self) -> StoreError:
        if self.is_inherited:
            reason = "it was opened before this process was forked: open it anew in this process"
        else:
            reason = "the store is not open: it was closed, or never opened"
        return StoreError(self._options.store, reason)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        requests = [request for request in self._outboxes.pop(loop, ()) if not request.answer.done()]
        with self._ending:
            if requests and not self._ended:
                self._queue.put(requests)
                return
        for request in requests:
            request.answer.set_exception(self._not_open())

    def wake(self) -> None:
        """Have the thread look whether extensions are due. May be called in any thread."""
        self._queue.put(_Signal.LOOK)

    def leave(self) -> None:
        """Take no more, carry out what this loop has asked for, and close the connection. Twice does no harm."""
        self._taking = False
        if self.is_inherited:  # its locks may be held for ever here
            return
        with contextlib.suppress(RuntimeError):  # there may be no loop here, and nothing that one has asked for
            self._hand_over(asyncio.get_running_loop())
        with self._ending:
            if not self._ended:
                self._ended = True
                self._queue.put(_Signal.END)

    def pause(self) -> None:
        self._disconnected.clear()
        if self.closed.done():
            self._disconnected.set()
        else:
            self._may_connect.clear()
            self._queue.put(_Signal.PAUSE)

    def wait_closed(self, seconds: float) -> bool:
        return self._disconnected.wait(seconds)

    def resume(self) -> None:
        self._may_connect.set()

    # What follows runs in the thread.

    def _live(self) -> None:
        try:
            tables: Tables | None = self._open_tables()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is for those who wait for the opening
            self.opened.set_exception(translated(self._options.store, exc))
            self.closed.set_result(None)
            self._disconnected.set()
            return
        try:
            self._taking = not self._ended
            self.opened.set_result(None)
            while (batch := self._next()) is not _Signal.END:
                if batch is _Signal.PAUSE:
                    self._pause_for_fork(tables)
                    tables = None
                elif tables is None:
                    tables = self._connect_again(batch)
                if tables is not None and not isinstance(batch, _Signal):
                    deliver(batch, self._carry_out(tables, batch))
                if tables is not None and self._options.writes:
                    self._store_extensions_due(tables)
        finally:
            for lane in self.closes_after:
                lane.closed.result()
            if tables is None and self._options.writes and not self._extensions.is_empty:
                tables = self._connect_again(_Signal.END)
            if tables is not None:
                self._store_all_extensions(tables)
                self._close(tables)
            self.closed.set_result(None)
            self._disconnected.set()

    def _next(self) -> list[Request] | _Signal:
        """Return all that waits, as far as it goes together, or a signal."""
        signal, self._read_already = self._read_already, None
        if signal is not None:
            return signal
        try:
            batch = self._queue.get(timeout=self._extensions.seconds_until_look() if self._options.writes else None)
        except Empty:
            return _Signal.LOOK
        if not isinstance(batch, _Signal):
            while len(batch) < _MOST_TOGETHER and not self._queue.empty():
                more = self._queue.get()
                if more is _Signal.LOOK:
                    continue
                if isinstance(more, _Signal):
                    self._read_already = more
                    break
                batch += more
        return batch

    def _pause_for_fork(self, tables: Tables | None) -> None:
        if tables is not None:
            self._close(tables)
        self._disconnected.set()
        self._may_connect.wait()

    def _close(self, tables: Tables) -> None:
        self._identity.forget_beside()  # the last connection takes those files along
        tables.connection.close()

    def _connect_again(self, batch: list[Request] | _Signal) -> Tables | None:
        """Open the connection again after a fork. If that fails, so does what is asked for."""
        self._synchronous = ""
        try:
            return self._open_tables()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is for those who wait
            failure = translated(self._options.store, exc)
            if self._options.writes:
                self._extensions.not_stored(exc)
            if not isinstance(batch, _Signal):
                deliver(batch, [(None, failure)] * len(batch))
            return None

    def _store_extensions_due(self, tables: Tables) -> None:
        while self._extensions.is_due:
            if not self._store_extensions(tables, _PATIENCE_FOR_EXTENSIONS):
                return

    def _store_all_extensions(self, tables: Tables) -> None:
        """Store what is still noted when the store is closed; what fails then is lost."""
        while self._options.writes and not self._extensions.is_empty:
            if not self._store_extensions(tables, self._options.patience):
                return

    def _store_extensions(self, tables: Tables, patience: float) -> bool:
        """Store extensions by themselves; return False if that failed."""
        try:
            patiently(lambda: self._together(tables, (), alone=True), min(patience, self._options.patience))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is tried again
            self._extensions.not_stored(exc)
            return False
        return True

    def _carry_out(self, tables: Tables, requests: Sequence[Request]) -> list[Outcome]:
        extensions = self._extensions
        along = self._options.writes and not extensions.failing
        try:
            return patiently(lambda: self._together(tables, requests), self._options.patience)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is for those who wait
            by_extensions = along and extensions.failing
            if is_locked(exc) or (len(requests) == 1 and not by_extensions):
                return [(None, translated(self._options.store, exc)) for _ in requests]
        return [outcome for request in requests for outcome in self._carry_out(tables, [request])]

    def _together(self, tables: Tables, requests: Sequence[Request], *, alone: bool = False) -> list[Outcome]:
        """Carry out requests in one transaction, with extensions; `alone` those are tried though they failed before."""
        connection, extensions = tables.connection, self._extensions
        durable = any(request.durable for request in requests)
        taken: Collection[SessionToken] = ()
        done = False
        self._identity.require()
        self._set_synchronous(connection, self._options.synchronous if durable else "NORMAL")
        try:
            tables.begin(self._options.begin)
            if self._options.writes and (alone or not extensions.failing):
                taken = extensions.take(_MOST_TOGETHER if alone else _MOST_ALONG)
            outcomes = [outcome_of(request, tables) for request in requests]
            done = True
            if taken:
                tables.extend(taken)  # those that the requests have not brought up to date
            if durable and self._options.writes:
                self._identity.require_file()
            connection.execute("COMMIT")
        except BaseException as exc:
            connection.rollback()
            if (taken and done) or (self._options.writes and is_locked(exc)):
                extensions.not_stored(exc)
            elif taken:
                extensions.put_back()
            raise
        if taken:
            extensions.stored()
        if durable and self._options.synchronous == "FULL":
            self._identity.require_file()  # it may have gone while the disk was waited for
        return outcomes

    def _set_synchronous(self, connection: sqlite3.Connection, synchronous: str) -> None:
        if synchronous != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
