"""The store in a file: the verbs of the contract, spread over four threads.

One thread writes, and commits all waiting work at once. Another reads committed data, and so never waits for writes to
the disk. A third reads everything for saves and copies, so that other readers do not wait for them. The fourth counts,
so that metrics do not wait for a save. A `get` that restarts a timer is a read: its extension is noted, and the writing
thread stores it a moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import warnings
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from ndb_models.clocks import defers, defers_no_more, wall_clock
from ndb_models.errors import StoreError
from ndb_models.json_text import finished
from ndb_models.stores.contract import (
    Scope,
    SessionPage,
    SessionRecord,
    Store,
    Verbs,
)
from ndb_models.stores.listing import reading_page
from ndb_models.stores.sqlite.extensions import Extensions
from ndb_models.stores.sqlite.forking import require_not_inherited
from ndb_models.stores.sqlite.identity import FileIdentity
from ndb_models.stores.sqlite.opening import open_for_reading, open_for_writing
from ndb_models.stores.sqlite.options import SqliteOptions, resolved
from ndb_models.stores.sqlite.sweeping import give_back
from ndb_models.stores.sqlite.tables import ExpiryCount, Tables
from ndb_models.stores.sqlite.worker import Worker, WorkerOptions
from ndb_models.types import Clock, SessionToken
from ndb_models.uncopyable import Uncopyable

T = TypeVar("T")

_SWEPT_TOGETHER: Final = 128


class SqliteStore(Uncopyable, Store):
    """Keeps all data in an SQLite file: `async with SqliteStore(path) as store`, or `open` and `aclose`.

    Tasks of several event loops may use it. Other processes may have the same file open. A verb raises `StoreError` if
    the store is not open. A verb that fails raises it too, and leaves the store unchanged.

    Args:
        path: the file. A missing file is created, readable only for its owner.
        options: the store's options.
        clock: tells the time in seconds since 1970. Processes and their successors must agree on it, so a monotonic
            clock will not do. If it goes back, expired sessions that were not swept yet live on.
    """

    def __init__(
        self, path: str | os.PathLike[str], options: SqliteOptions | None = None, *, clock: Clock = wall_clock
    ) -> None:
        shown = os.fspath(path)
        file = resolved(shown)  # once: the working directory and links may change
        options = options or SqliteOptions()
        lock_timeout = options.busy_timeout
        identity = FileIdentity(file, shown)
        extensions = Extensions(shown, options.extension_delay)

        expired = ExpiryCount()

        def open_to_write() -> Tables:
            return Tables(_opened(identity, shown, open_for_writing, lock_timeout), clock, extensions, expired)

        writing = WorkerOptions(shown, "BEGIN IMMEDIATE", lock_timeout, options.synchronous.upper(), writes=True)
        self._writer: Final = Worker(open_to_write, identity, extensions, writing)
        written = self._writer.opened

        def open_to_read() -> Tables:
            written.result()
            return Tables(_opened(identity, shown, open_for_reading, lock_timeout), clock, extensions, expired)

        self._reader, self._scanner, self._counter = (
            Worker(open_to_read, identity, extensions, WorkerOptions(shown, "BEGIN", lock_timeout)) for _ in range(3)
        )
        self._writer.closes_after = (self._reader, self._scanner, self._counter)
        self._workers: Final = (*self._writer.closes_after, self._writer)
        self._expired = expired
        self._identity = identity
        self._extensions = extensions
        self._path = shown
        self._started = self._left = False

    @property
    def expired(self) -> int:
        return self._expired.number

    @property
    def is_lost(self) -> bool:
        """True if its file was removed, moved or replaced while it was open."""
        return self._identity.is_lost

    @property
    def is_inherited(self) -> bool:
        """True if it belongs to the process that this one was forked from: it cannot be used here."""
        return self._writer.is_inherited

    async def open(self) -> None:
        """Open the file, and make it a store if it is new. Every call has the same outcome.

        Raises:
            StoreError: it cannot be opened; the class of the error says why.
        """
        if self.is_inherited:
            raise StoreError(self._path, "it was opened before this process was forked: open it anew in this process")
        if not self._started:
            self._started = True
            defers(self)
            for worker in self._workers:
                worker.start()
        for worker in self._workers:
            await asyncio.shield(asyncio.wrap_future(worker.opened))

    async def flush_deferred(self) -> None:
        """Store the noted extensions now. If that fails, they are tried again as usual."""
        with contextlib.suppress(StoreError):
            await self._reader.do(_nothing)  # after the reads that wait, which may extend
            await self._writer.do(_nothing, durable=False)
            while not (self._extensions.is_empty or self._extensions.failing):
                await self._writer.do(_nothing, durable=False)

    def leave(self) -> None:
        """Close without waiting for it: pending work is still carried out. Leaving twice does no harm.

        In a process that was forked from the one that opened it, this has no effect.
        """
        self._left = True
        defers_no_more(self)
        for worker in self._workers:
            worker.leave()

    async def check(self) -> None:
        identity = self._identity

        def read(tables: Tables) -> None:
            identity.require(within=0)
            tables.tokens(None, 1)

        await self._reader.do(read)

    async def aclose(self) -> None:
        self.leave()
        if self._started and not self.is_inherited:
            for worker in self._workers:
                await asyncio.shield(asyncio.wrap_future(worker.closed))

    async def __aenter__(self) -> SqliteStore:
        try:
            await self.open()
        except BaseException:
            self.leave()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "_started", False) and not self._left and not self.is_inherited:
            self.leave()
            warn(f"unclosed SqliteStore on {self._path}", ResourceWarning, source=self)

    def read(self, work: Callable[[Verbs], T]) -> Awaitable[T]:
        return self._reader.do(work)

    def write(self, work: Callable[[Verbs], T]) -> Awaitable[T]:
        return self._writer.do(work)

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        worker = self._scanner if scope is None else self._reader
        return await worker.do(lambda tables: tables.get_all(scope))

    async def end_all(self) -> int:
        return await self._writer.do(Tables.end_all)

    async def totals(self) -> tuple[int, int]:
        return await self._counter.do(Tables.totals)

    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        asked = None if tokens is None else tuple(tokens)
        return await self._scanner.do(lambda tables: list(tables.records(asked)))

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        asked = None if tokens is None else tuple(tokens)
        return await self._scanner.do(lambda tables: consume(tables.records(asked)))

    async def page(self, name: str, after: SessionToken | None, count: int, most: int) -> SessionPage:
        def read(tables: Tables) -> SessionPage:
            tokens = tables.tokens(after, count)
            page = finished(reading_page(tables, tokens, name, most))
            if len(tokens) < count and (not tokens or page.last == tokens[-1]):
                page.last = None
            return page

        return await self._scanner.do(read)

    async def tokens(self, after: SessionToken | None, most: int) -> list[SessionToken]:
        """Return the tokens of at most `most` sessions in the file's own order, after `after` or from the start."""
        return await self._reader.do(lambda tables: tables.tokens(after, most))

    async def sweep(self) -> None:
        """Free the room of expired sessions, and shrink a file with many free pages. Others may write in between."""
        while await self._writer.do(lambda tables: tables.sweep(_SWEPT_TOGETHER), durable=False):
            pass
        while await self._writer.do(lambda tables: give_back(tables.connection), durable=False):
            pass


def _nothing(_tables: Tables) -> None:
    """Do nothing. A transaction of the writer stores extensions."""


def _opened(
    identity: FileIdentity, shown: str, connect: Callable[[str, float], sqlite3.Connection], lock_timeout: float
) -> sqlite3.Connection:
    require_not_inherited(identity.path, shown)
    identity.require_file()  # after a fork: a file that has gone since must not be created again
    connection = connect(identity.path, lock_timeout)
    try:
        identity.learn()
    except BaseException:
        connection.close()
        raise
    return connection
