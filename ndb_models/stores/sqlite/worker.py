"""A thread that owns a connection, and carries out the requests of event loops: all that wait, in one transaction.

Their answers come back together, after the commit. If a transaction fails, it is rolled back. Then each request gets a
transaction of its own, so that only the faulty ones fail. If others keep the file locked for too long, all of them fail
at once. Work may therefore be carried out more than once, and only the last time counts.

The worker that writes also stores noted extensions: along with requests, or by themselves when they are due. An
extension that cannot be stored makes no request fail. After a request by itself, the log gets room for the next ones.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeVar

from ndb_models.errors import StoreError
from ndb_models.stores.sqlite.extensions import Extensions
from ndb_models.stores.sqlite.failures import is_locked, translated
from ndb_models.stores.sqlite.forking import Forkable, forks, register
from ndb_models.stores.sqlite.identity import FileIdentity
from ndb_models.stores.sqlite.lock_retries import retry_locked
from ndb_models.stores.sqlite.log_room import LogRoom
from ndb_models.stores.sqlite.request_queue import MOST_TOGETHER, RequestQueue, Signal
from ndb_models.stores.sqlite.requests import Outcome, QueuedWork, Work, deliver, outcome_of
from ndb_models.stores.sqlite.tables import Tables
from ndb_models.types import SessionToken

T = TypeVar("T")

# The most extensions that are stored along with requests.
_MOST_ALONG: Final = 128
# The seconds that extensions by themselves wait for others' locks. Requests wait behind them meanwhile.
_LOCK_TIMEOUT_FOR_EXTENSIONS: Final = 0.1


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The kind of a worker's transactions.

    Args:
        store: the store's path, for errors.
        begin: the statement that begins a transaction.
        lock_timeout: seconds to wait for others' locks.
        synchronous: how a transaction with a durable request reaches the disk. A transaction without one is committed
            without waiting for the disk.
        writes: True for the worker that writes and stores extensions.
    """

    store: str
    begin: str
    lock_timeout: float
    synchronous: str = "NORMAL"
    writes: bool = False


class Worker(Forkable):
    """One thread and its connection. Any event loop of this process may hand it work.

    Args:
        open_tables: opens the connection; called in the thread.
        identity: the identity of the file.
        extensions: the noted extensions.
        options: the kind of its transactions.
    """

    def __init__(
        self,
        open_tables: Callable[[], Tables],
        identity: FileIdentity,
        extensions: Extensions,
        options: WorkerOptions,
    ) -> None:
        self.opened: Future[None] = Future()
        self.closed: Future[None] = Future()
        # The workers that close before this one. SQLite tidies up after the last; if two close at once, neither is.
        self.closes_after: Sequence[Worker] = ()
        self.path: str = identity.path
        self._open_tables = open_tables
        self._identity = identity
        self._extensions = extensions
        self._options = options
        self._forks = forks()
        self._taking = False
        self._queue = RequestQueue()
        # Held so that no request waits behind the end.
        self._ending = threading.Lock()
        self._ended = False
        self._synchronous = ""
        self._log_room = LogRoom(identity.path)
        self._disconnected = threading.Event()
        self._may_connect = threading.Event()
        self._may_connect.set()
        if options.writes:
            extensions.wake = self.wake

    def start(self) -> None:
        """Start the thread. `opened` tells whether it could open its connection."""
        register(self)
        # A daemon: an unclosed store must not keep the interpreter from ending. Its open transaction is rolled back, as
        # if the process were killed.
        threading.Thread(target=self._live, name=f"ndb_models {self._options.begin}", daemon=True).start()

    @property
    def is_inherited(self) -> bool:
        """True if it belongs to the process that this one was forked from: it has no thread here."""
        return self._forks != forks()

    def do(self, work: Work[T], *, durable: bool = True) -> asyncio.Future[T]:
        """Hand over work; return a future of its outcome. After a cancellation, the work may still be carried out.

        Raises:
            StoreError: the worker is not open, or belongs to the process that this one was forked from.
        """
        if self._forks != forks():  # `_ending` may be locked for ever here
            raise self._not_open()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        with self._ending:
            if not self._taking:
                raise self._not_open()
            self._queue.put(QueuedWork(loop, answer, work, durable))
        return answer

    def _not_open(self) -> StoreError:
        if self.is_inherited:
            reason = "it was opened before this process was forked: open it anew in this process"
        else:
            reason = "the store is not open: it was closed, or never opened"
        return StoreError(self._options.store, reason)

    def wake(self) -> None:
        """Have the thread look for due extensions. Any thread may call this."""
        self._queue.signal(Signal.LOOK)

    def leave(self) -> None:
        """Take no more requests, carry out those that wait, and close the connection. Leaving twice does no harm."""
        if self.is_inherited:
            return
        with self._ending:
            self._taking = False
            if not self._ended:
                self._ended = True
                self._queue.signal(Signal.END)

    def pause(self) -> None:
        self._disconnected.clear()
        if self.closed.done():
            self._disconnected.set()
        else:
            self._may_connect.clear()
            self._queue.signal(Signal.PAUSE)

    def wait_closed(self, seconds: float) -> bool:
        return self._disconnected.wait(seconds)

    def resume(self) -> None:
        self._may_connect.set()

    # The methods below run in the thread.

    def _live(self) -> None:
        try:
            tables: Tables | None = self._open_tables()
        except Exception as exc:  # noqa: BLE001 - every failure goes to the callers of `open`
            self.opened.set_exception(translated(self._options.store, exc))
            self.closed.set_result(None)
            self._disconnected.set()
            return
        try:
            with self._ending:
                self._taking = not self._ended
            self.opened.set_result(None)
            while (batch := self._queue.next(self._longest_sleep)) is not Signal.END:
                if batch is Signal.PAUSE:
                    self._pause_for_fork(tables)
                    tables = None
                    continue
                if tables is None:
                    tables = self._connect_again(batch)
                if tables is not None and batch:
                    deliver(batch, self._carry_out(tables, batch))
                if tables is not None and self._options.writes:
                    self._store_extensions_due(tables)
                    if len(batch) == 1 and self._synchronous == "FULL":
                        self._log_room.make(tables.connection)
        finally:
            for worker in self.closes_after:
                worker.closed.result()
            if tables is None and self._options.writes and not self._extensions.is_empty:
                tables = self._connect_again(())
            if tables is not None:
                self._store_all_extensions(tables)
                self._close(tables)
            self.closed.set_result(None)
            self._disconnected.set()

    def _longest_sleep(self) -> float | None:
        return self._extensions.seconds_until_look() if self._options.writes else None

    def _pause_for_fork(self, tables: Tables | None) -> None:
        if tables is not None:
            self._close(tables)
        self._disconnected.set()
        self._may_connect.wait()

    def _close(self, tables: Tables) -> None:
        self._identity.forget_beside()  # the last connection removes them
        tables.connection.close()

    def _connect_again(self, requests: Sequence[QueuedWork]) -> Tables | None:
        """Open the connection again after a fork. If that fails, so do the requests, and None is returned."""
        self._synchronous = ""
        self._log_room = LogRoom(self.path)
        try:
            return self._open_tables()
        except Exception as exc:  # noqa: BLE001 - every failure goes to the callers
            failure = translated(self._options.store, exc)
            if self._options.writes:
                self._extensions.not_stored(exc)
            deliver(requests, [(None, failure)] * len(requests))
            return None

    def _store_extensions_due(self, tables: Tables) -> None:
        while self._extensions.is_due:
            if not self._store_extensions(tables, _LOCK_TIMEOUT_FOR_EXTENSIONS):
                return

    def _store_all_extensions(self, tables: Tables) -> None:
        """Store the remaining extensions when the store is closed. If that fails, they are lost."""
        while self._options.writes and not self._extensions.is_empty:
            if not self._store_extensions(tables, self._options.lock_timeout):
                return

    def _store_extensions(self, tables: Tables, lock_timeout: float) -> bool:
        """Store extensions by themselves; return False on failure."""
        try:
            retry_locked(lambda: self._together(tables, (), alone=True), min(lock_timeout, self._options.lock_timeout))
        except Exception as exc:  # noqa: BLE001 - tried again after every failure
            self._extensions.not_stored(exc)
            return False
        return True

    def _carry_out(self, tables: Tables, requests: Sequence[QueuedWork]) -> list[Outcome]:
        extensions = self._extensions
        along = self._options.writes and not extensions.failing
        try:
            return retry_locked(lambda: self._together(tables, requests), self._options.lock_timeout)
        except Exception as exc:  # noqa: BLE001 - every failure goes to the callers
            by_extensions = along and extensions.failing
            if is_locked(exc) or (len(requests) == 1 and not by_extensions):
                return [(None, translated(self._options.store, exc)) for _ in requests]
        return [outcome for request in requests for outcome in self._carry_out(tables, [request])]

    def _together(self, tables: Tables, requests: Sequence[QueuedWork], *, alone: bool = False) -> list[Outcome]:
        """Carry out requests in one transaction, with extensions. `alone` tries these even if they failed before."""
        connection, extensions = tables.connection, self._extensions
        durable = any(request.durable for request in requests)
        taken: Collection[SessionToken] = ()
        done = False
        self._identity.require()
        self._set_synchronous(connection, self._options.synchronous if durable else "NORMAL")
        try:
            tables.begin(self._options.begin)
            if self._options.writes and (alone or not extensions.failing):
                taken = extensions.take(MOST_TOGETHER if alone else _MOST_ALONG)
            outcomes = [outcome_of(request, tables) for request in requests]
            done = True
            if taken:
                tables.extend(taken)  # unless a request has brought the session up to date
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
            self._identity.require_file()  # it may have gone during the wait for the disk
        return outcomes

    def _set_synchronous(self, connection: sqlite3.Connection, synchronous: str) -> None:
        if synchronous != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
