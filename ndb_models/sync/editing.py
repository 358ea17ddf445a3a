"""`edit()` as a context manager: `with repo.edit(tkn) as session`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TypeVar

from ndb_models.sync.portal import Portal
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotAsynchronous

T = TypeVar("T")


class SyncEditing(Uncopyable, NotAsynchronous, AbstractContextManager[T]):
    """Loads on entry, and saves on a clean exit. Entered once."""

    INSTEAD = "call edit() where it is needed"
    USAGE = "edit() is entered: with repo.edit(tkn) as session: ..."

    def __init__(self, portal: Portal, editing: AbstractAsyncContextManager[T]) -> None:
        self._portal = portal
        self._editing = editing

    def __enter__(self) -> T:
        return self._portal.call(self._editing.__aenter__)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._portal.call(lambda: self._editing.__aexit__(exc_type, exc, traceback))
