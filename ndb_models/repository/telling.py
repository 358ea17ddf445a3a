"""Telling hooks of acts: each act once, and those of one session in the order in which they were acknowledged.

An act gets its place in the order when the server has acknowledged it. Hooks that have to be awaited run in tasks of
their own, so an act is told even if its verb is cancelled meanwhile. A verb waits for the hooks of its acts. It does
not where that would be a deadlock: if a hook called it, or if it holds a lock of its session.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, TypeAlias, TypeVar

from ndb_models.client import NdbClient
from ndb_models.errors import UnavailableError
from ndb_models.repository.hooks import Hook, HookCalls, is_in_hook
from ndb_models.repository.session_end import EndReason, SessionEnd
from ndb_models.schema.model import SessionModel
from ndb_models.sessions.locks import is_under_lock
from ndb_models.sessions.writing import ContestedError
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)
T = TypeVar("T")

Begun: TypeAlias = asyncio.Task[None] | None
"""The task that calls the hooks of an act, or None if they are done already."""

_NO_HOOKS: Final[tuple[Hook, ...]] = ()


class Place:
    """The place of an act in the order of the acts on one session.

    Attributes:
        before: done when the act before it has been told; None if there is none.
        told: done when this act has been told.
    """

    __slots__ = ("before", "told")

    def __init__(self, before: asyncio.Future[None] | None, told: asyncio.Future[None]) -> None:
        self.before: Final = before
        self.told: Final = told


class ToldChange(Generic[M]):
    """A change of a session by one verb, which may take several writes. It is told once.

    Args:
        telling: the hooks to tell.
        session: the model, if it is known yet.

    Attributes:
        session: the model.
        names: the fields that were changed, as far as writes were acknowledged.
        unconfirmed: the fields of writes whose answers were lost. If the verb succeeds, they were changed.
        place: its place in the order, taken with the first acknowledged write. None before, and for a verb that tells
            of the change right after its only write.
    """

    __slots__ = ("_telling", "names", "place", "session", "unconfirmed")

    def __init__(self, telling: Telling[M], session: M | None) -> None:
        self._telling = telling
        self.session: M | None = session
        self.names: frozenset[str] = frozenset()
        self.unconfirmed: frozenset[str] = frozenset()
        self.place: Place | None = None

    def acknowledge(self, names: Iterable[str]) -> None:
        """Note that these fields were changed."""
        self.names = self.names.union(names)

    def noting(self, write: Callable[[], Awaitable[None]], names: frozenset[str]) -> Callable[[], Awaitable[None]]:
        """Return a write of these fields that notes its outcome at once."""

        async def noted() -> None:
            try:
                await write()
            except ContestedError as exc:
                self._take_place(exc.written)
                raise
            except UnavailableError as exc:
                self.unconfirmed |= names if exc.maybe_done else frozenset()
                raise
            self._take_place(names)

        return noted

    def _take_place(self, names: Iterable[str]) -> None:
        """Note that these fields were changed, and take the place: the verb has more to do before it tells of them."""
        self.acknowledge(names)
        if self.names and self.place is None and self.session is not None:
            self.place = self._telling.next_place(self.session.tkn)


class Telling(Generic[M]):
    """The hooks of a repository, and the acts that they are being told of.

    Attributes:
        created: the hooks for created sessions, in the order of their registration.
        changed: the same for changed sessions.
        ended: the same for sessions that have ended.
        watch: called with each end, before the hooks, if sessions are watched.
    """

    def __init__(self, client: NdbClient) -> None:
        self._client = client
        self.created: tuple[Hook, ...] = _NO_HOOKS
        self.changed: tuple[Hook, ...] = _NO_HOOKS
        self.ended: tuple[Hook, ...] = _NO_HOOKS
        self.watch: Callable[[SessionEnd], None] | None = None
        # The last act on each session with acts that are still being told.
        self._last: dict[SessionToken, asyncio.Future[None]] = {}

    # Acts

    async def tell_created(self, session: M) -> None:
        """Tell of a session that was created, and wait for the hooks."""
        await self.wait(self._begin(session.tkn, self.created, (session,)))

    async def tell_ended(self, tkn: SessionToken, reason: EndReason) -> None:
        """Tell of a session that has ended, and wait for the hooks."""
        await self.wait(self.begin_ended(tkn, reason))

    def begin_ended(self, tkn: SessionToken, reason: EndReason, successor: SessionToken | None = None) -> Begun:
        """Begin to tell of a session that has ended. `wait` takes the result."""
        if self.watch is None and not self.ended:
            return None
        end = SessionEnd(tkn, reason, successor)
        if self.watch is not None:
            self.watch(end)
        return self._begin(tkn, self.ended, (end,))

    async def tell_overdue(self, tkn: SessionToken) -> None:
        """Tell of a session that a verb has found past its deadline, and has ended.

        Waits for the hooks, unless hooks of another act on the session still run. That act may be the verb's own, and
        waiting would be a deadlock.
        """
        is_alone = self._told_last(tkn) is None
        begun = self.begin_ended(tkn, "absolute")
        if is_alone:
            await self.wait(begun)

    async def carry_out(self, session: M | None, work: Callable[[ToldChange[M]], Awaitable[T]]) -> T:
        """Do the work of a verb that changes a session, tell of the change, and return the result of the work.

        If the work fails or is cancelled, the hooks still learn of the acknowledged changes, but are not waited for.
        """
        change = ToldChange(self, session)
        try:
            result = await work(change)
        except BaseException:
            self._begin_changed(change)
            raise
        change.acknowledge(change.unconfirmed)
        await self.wait(self._begin_changed(change))
        return result

    def _begin_changed(self, change: ToldChange[M]) -> Begun:
        session = change.session
        if session is None or not change.names:
            return None
        return self._begin(session.tkn, self.changed, (session, change.names), change.place)

    async def wait(self, begun: Begun) -> None:
        """Wait for the hooks of an act, unless that would be a deadlock. They go on if the waiting is cancelled."""
        if begun is not None and not is_in_hook() and not is_under_lock():
            await asyncio.shield(begun)

    # Order

    def next_place(self, tkn: SessionToken) -> Place:
        """Return the next place among the acts on a session."""
        before = self._told_last(tkn)
        told = self._last[tkn] = asyncio.get_running_loop().create_future()
        return Place(before, told)

    def _told_last(self, tkn: SessionToken) -> asyncio.Future[None] | None:
        """Return the future of the last act on a session, if it is still being told."""
        last = self._last.get(tkn)
        # A loop that was stopped for good leaves its futures undone.
        return last if last is not None and last.get_loop() is asyncio.get_running_loop() else None

    def _begin(
        self, tkn: SessionToken, hooks: tuple[Hook, ...], arguments: tuple[Any, ...], place: Place | None = None
    ) -> Begun:
        """Call the synchronous hooks at once. Return a task for the others, or None if there are none."""
        calls = HookCalls(hooks, arguments)
        before = place.before if place is not None else self._told_last(tkn)
        if before is None or before.done():
            before = None
            has_to_wait = False
            try:
                has_to_wait = calls.begin()
            finally:
                if not has_to_wait:
                    self._end(tkn, place)
            if not has_to_wait:
                return None
        return self._client.in_background(self._go_on(tkn, calls, before, place or self.next_place(tkn)))

    async def _go_on(
        self, tkn: SessionToken, calls: HookCalls, before: asyncio.Future[None] | None, place: Place
    ) -> None:
        try:
            if before is not None:
                await asyncio.wait([before])
                calls.begin()
            await calls.finish()
        finally:
            self._end(tkn, place)

    def _end(self, tkn: SessionToken, place: Place | None) -> None:
        """Give up the place of an act that has been told."""
        if place is not None:
            with contextlib.suppress(asyncio.InvalidStateError):  # its loop was stopped, and has cancelled it
                place.told.set_result(None)
            if self._last.get(tkn) is place.told:
                del self._last[tkn]
