"""The visit of a request that runs: a `Visit`, and the notes of the shell around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from ndb_models.errors import NdbError
from ndb_models.repository import PendingSave
from ndb_models.schema import SessionModel
from ndb_models.schema.model import Stored
from ndb_models.web.visit import Visit

M = TypeVar("M", bound=SessionModel)

_NO_FIELDS: Final[frozenset[str]] = frozenset()


class RunningVisit(Visit[M]):
    """A visit while its request runs. Verbs that a request calls at the same time take turns."""

    headers: Iterable[tuple[bytes, bytes]] = ()
    """Those of the request, from which a session may be carried over."""
    may_change: bool = False
    """True if a save is likely, by the method of the request, and the store prefers to know."""
    removes_old: bool = False
    """True if the browser is told to remove the cookie of another middleware."""
    as_read: Stored | None = None
    """The stored state of the session when it was opened."""
    pending: PendingSave | None = None
    """The changes to save as the request ends."""
    is_saved: bool = False
    """True once the changes were saved."""
    count: Callable[[bool], None] | None = None
    """Lets what the cookie opened count as used; None once it has. See `OpenedSession.use`."""
    max_age: int | None = None
    """The seconds for which the browser is to keep the new credential; None for until it ends."""
    unsaved: frozenset[str] | None = _NO_FIELDS
    """The changes that were not stored, since the request failed; None if later ones cannot be told from them."""

    _is_taken = False
    _turns: asyncio.Lock | None = None
    """Made by the first task that has to wait for its turn, and used by all from then on."""

    def take_turn(self) -> bool:
        """Take a turn, unless others have taken turns at the same time. Return False if `wait_for_turn` is needed.

        An `asyncio.Lock` would take a coroutine of each request.
        """
        if self._is_taken or self._turns is not None:
            return False
        self._is_taken = True
        return True

    async def wait_for_turn(self) -> None:
        """Wait for a turn, and take it."""
        turns = self._turns
        if turns is None:
            turns = self._turns = asyncio.Lock()
            if self._is_taken:
                await turns.acquire()  # for the task whose turn it is
        await turns.acquire()

    def end_turn(self) -> None:
        """End a turn."""
        self._is_taken = False
        if self._turns is not None:
            self._turns.release()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Take a turn for a block."""
        if not self.take_turn():
            await self.wait_for_turn()
        try:
            yield
        finally:
            self.end_turn()

    def count_use(self) -> None:
        """Let the request count as a use of its session, once. If it was saved, that has extended it already."""
        count = self.count
        if count is None:
            return
        self.count = None
        if self.session is not None and self.session is self.former:
            try:  # noqa: SIM105 - each request comes here, and a context manager takes longer
                count(self.is_saved)
            except NdbError:  # the request is answered all the same
                pass
