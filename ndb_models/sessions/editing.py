"""`edit()`: loads on entry, and stores on a clean exit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypeVar

from ndb_models.errors import InvalidArgumentError
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotAwaited

T = TypeVar("T")


class Editing(Uncopyable, NotAwaited, AbstractAsyncContextManager[T]):
    """Loads on entry, and saves on a clean exit. Entered once.

    Args:
        load: returns the object to change.
        save: stores the object.
        usage: the correct use, shown after a wrong one.
    """

    INSTEAD = "call edit() where it is needed"

    def __init__(self, load: Callable[[], Awaitable[T]], save: Callable[[T], Awaitable[object]], usage: str) -> None:
        self._load = load
        self._save = save
        self._entered = False
        self._loaded: T | None = None
        self.USAGE = usage

    async def __aenter__(self) -> T:
        if self._entered:
            raise InvalidArgumentError("an edit() is entered once: call it again")
        self._entered = True
        self._loaded = loaded = await self._load()
        return loaded

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        loaded, self._loaded = self._loaded, None
        if exc_type is None and loaded is not None:
            await self._save(loaded)
