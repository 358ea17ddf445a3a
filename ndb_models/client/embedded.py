"""The transport to an engine in this process that stores in a file.

All clients of a file share one engine, and with it one writing thread: their saves go to the disk together. The last
client to close also closes the engine. A forked process does not share the engine: it opens the file anew.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from ndb_models.client.in_process import WaitingTransport
from ndb_models.engine import Engine
from ndb_models.engine.context import IN_PROCESS
from ndb_models.errors import ConnectError, StoreError
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.stores.sqlite.options import SqliteUri, parse_sqlite_uri


class _Shared:
    """An engine, and the number of its users."""

    def __init__(self, uri: SqliteUri) -> None:
        self.uri: SqliteUri = uri
        self.store: SqliteStore = SqliteStore(uri.file, uri.options)
        self.engine: Engine = Engine(
            self.store,
            persist_path=None if uri.persist_path is None else Path(uri.persist_path),
            raise_store_errors=True,
            limits=IN_PROCESS,
        )
        self.users = 0


# By file. Several threads may open and close clients. The garbage collector may drop one in any thread, even while that
# thread holds the lock.
_in_use: dict[str, _Shared] = {}
_lock = threading.RLock()


def _forget_parent() -> None:
    """Forget all open engines after a fork: the parent's threads are not here, and its lock may be held for ever."""
    global _lock
    _in_use.clear()
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


class EmbeddedTransport(WaitingTransport):
    """Hands requests to an engine that others may share."""

    def __init__(self, shared: _Shared) -> None:
        super().__init__(shared.engine)
        self._shared: _Shared | None = shared

    def refuse_fork(self) -> None:
        """Return: the store refuses requests of a forked process itself."""

    async def aclose(self) -> None:
        """Let go of the engine. The last user closes it once all its requests are done."""
        shared, self._shared = self._shared, None
        if shared is not None and _let_go(shared):
            await shared.store.aclose()

    def abandon(self) -> bool:
        """Let go without waiting; see `Transport.abandon`."""
        shared, self._shared = self._shared, None
        if shared is not None and _let_go(shared):
            shared.store.leave()
        return shared is not None and not shared.store.is_inherited


def check_embedded(text: str) -> None:
    """Check a `sqlite://` URI without opening the file.

    Raises:
        InvalidArgumentError: the URI names no file, or has unknown options.
    """
    with contextlib.suppress(StoreError):  # a relative path counts from the directory of the first use
        parse_sqlite_uri(text)


async def open_embedded(text: str) -> EmbeddedTransport:
    """Return a transport to the engine of a `sqlite://` file: a new engine, or the one that its clients share.

    Raises:
        InvalidArgumentError: the URI names no file, or has unknown options.
        ConnectError: the file cannot be opened as a store, or is open in this process with other options. Also if the
            persist path is not a directory.
    """
    try:
        return EmbeddedTransport(await _opened(parse_sqlite_uri(text)))
    except StoreError as exc:
        raise ConnectError(text.partition("?")[0], exc.reason) from exc


async def _opened(uri: SqliteUri) -> _Shared:
    shared = _take(uri)
    try:
        await shared.store.open()
    except BaseException:
        if _let_go(shared):
            shared.store.leave()
        raise
    return shared


def _take(uri: SqliteUri) -> _Shared:
    if uri.persist_path is not None and not os.path.isdir(uri.persist_path):  # noqa: PTH112 - Path raises
        raise ConnectError(uri.shown, "persist_path is not a directory")
    with _lock:
        shared = _engine_of(uri.file)
        if shared is None:
            shared = _in_use[uri.file] = _Shared(uri)
        elif (uri.options, uri.persist_path) != (shared.uri.options, shared.uri.persist_path):
            raise ConnectError(uri.shown, "it is open in this process with other options")
        shared.users += 1
        return shared


def _engine_of(file: str) -> _Shared | None:
    """Return the engine that has this file open, under any path; None if no engine has."""
    shared = _in_use.get(file)
    if shared is not None:
        # An engine that lost its file keeps its clients, which get errors. New clients open the present file.
        return None if shared.store.is_lost else shared
    for other in _in_use.values():
        with contextlib.suppress(OSError):  # one of the files does not exist
            if Path(file).samefile(other.uri.file):
                return other
    return None


def _let_go(shared: _Shared) -> bool:
    """Remove one user from the count. Return True if it was the last."""
    if shared.store.is_inherited:
        return False
    with _lock:
        shared.users -= 1
        if shared.users == 0 and _in_use.get(shared.uri.file) is shared:
            del _in_use[shared.uri.file]
        return shared.users == 0
