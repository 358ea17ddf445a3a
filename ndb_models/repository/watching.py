"""Watching for the ends of sessions, also those that other processes end.

The protocol cannot report ends, so the store is asked again and again which sessions exist: one frame asks for many. No
request extends a session. One task asks for all callers that wait at the same interval, and ends with the last of them.

The store does not say why a session is gone. So each session is looked at when it is first watched, and when it would
have ended unless it was used: this gives the next time by which it may end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from typing import Any, Final, NamedTuple, TypeAlias

from ndb_models.client import NdbClient
from ndb_models.client.unattended import UnattendedTask
from ndb_models.errors import (
    NdbError,
    NotConnectedError,
    SessionExpiredError,
    SessionGoneError,
    UnavailableError,
    UnsupportedError,
)
from ndb_models.repository.session_end import EndReason, SessionEnd
from ndb_models.repository.telling import Telling
from ndb_models.schema.lifetime import Timer
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.bulk import in_bulk
from ndb_models.sessions.lifetimes import SH_PEEK
from ndb_models.sessions.polling import Outage
from ndb_models.sessions.reading import LOOK, UPKEEP
from ndb_models.types import Clock, SessionToken

_logger = logging.getLogger(__name__)

# The most tokens in one frame: a server works on them at a stretch.
_MOST_TOKENS: Final = 4096
# The bytes of a token in a frame at most, and of the rest of the frame.
_TOKEN_SIZE: Final = 21
_FRAME_SIZE: Final = 64

Deadlines: TypeAlias = Mapping[SessionToken, int | None]
"""Sessions to watch, with their deadlines in milliseconds since 1970, as far as they are known."""


class Interval(NamedTuple):
    """How often to look: every so many seconds, by this clock, and sleeping in this way."""

    seconds: float
    clock: Clock
    sleep: Callable[[float], Awaitable[object]]


class _Waiter:
    """A caller that waits for the first end of some sessions."""

    def __init__(self) -> None:
        self.sessions: list[_Watched] = []
        self.end: SessionEnd | None = None
        self.failure: Exception | None = None
        self.news = asyncio.Event()


class _Watched:
    """A session that is watched, and the known facts about its end. Times are in milliseconds since 1970."""

    def __init__(self, tkn: SessionToken, deadline: int | None) -> None:
        self.tkn = tkn
        self.waiters: set[_Waiter] = set()
        self.is_known = False
        self.deadline = deadline
        # When its server ends it, unless it is used; and whether a use changes that.
        self.due: float | None = None
        self.is_extended = True

    @property
    def may_end_at(self) -> float:
        """When it may end by itself; at once if that is not known yet."""
        if not self.is_known:
            return -math.inf
        return min(time for time in (self.due, self.deadline, math.inf) if time is not None)

    def reason(self, now: float) -> EndReason:
        """Return why it ended, as far as that is known, if it is gone now."""
        if not self.is_known:
            return "unknown"
        if self.may_end_at > now:
            return "deleted"
        return "absolute" if not self.is_extended or self._is_deadline_first() else "idle"

    def _is_deadline_first(self) -> bool:
        # A server tells the remaining time in whole seconds.
        return self.deadline is not None and (self.due is None or self.deadline < self.due + 1000)


class SessionWatch:
    """Watches sessions of one repository.

    Args:
        client: an open client.
        access: the access to the sessions.
        name: the name of the class, for messages.
        telling: tells of this repository's own acts, and is told of sessions that are found expired.
    """

    def __init__(self, client: NdbClient, access: SessionAccess, name: str, telling: Telling[Any]) -> None:
        self.client: Final = client
        self.access: Final = access
        self.name: Final = name
        self._telling = telling
        self._polls: dict[tuple[asyncio.AbstractEventLoop, Interval], _Poll] = {}

    async def first_end(self, sessions: Deadlines, interval: Interval) -> SessionEnd:
        """Wait until one of these sessions has ended, and return its end. Raises as `Repository.ended`."""
        key = asyncio.get_running_loop(), interval
        poll = self._polls.get(key)
        if poll is None:
            poll = self._polls[key] = _Poll(self, interval)
        self._telling.watch = self.note
        waiter = poll.join(sessions)
        try:
            return await poll.wait(waiter)
        finally:
            if poll.leave(waiter):
                if self._polls.get(key) is poll:
                    del self._polls[key]
                self._telling.watch = self.note if self._polls else None
                await poll.stop()

    def note(self, end: SessionEnd) -> None:
        """Give an end to all callers that wait for it."""
        for poll in self._polls.values():
            poll.note(end)

    def note_gone(self, watched: _Watched) -> None:
        """Note that a session is gone. If it has expired, the hooks are told, too."""
        reason = watched.reason(self.access.lifetimes.now())
        if reason in ("idle", "absolute"):
            self._telling.begin_ended(watched.tkn, reason)
        else:
            self.note(SessionEnd(watched.tkn, reason))

    async def look(self, watched: _Watched) -> None:
        """Find out when a session may end. If it has ended, note that.

        Raises:
            WrongSchemaError, ForeignSessionError, IncompleteSessionError: as each of them documents.
        """
        now = self.access.lifetimes.now()
        tkn = watched.tkn
        try:
            info = await self.access.of_session(tkn, self.client.sh_info(tkn))
            timer, expiry = Timer.told(info), info.get("expiry")
            left = expiry.get("remaining") if isinstance(expiry, dict) else None
            deadline = await self._deadline(watched, timer)
        except SessionExpiredError:  # the hooks were told, unless another process has ended it
            self.note(SessionEnd(tkn, "absolute"))
            return
        except SessionGoneError:
            self.note_gone(watched)
            return
        watched.deadline = deadline
        watched.due = now + left * 1000 if isinstance(left, int) else None
        watched.is_extended = timer.extend_on_get or timer.extend_on_set_add
        watched.is_known = True
        if isinstance(left, int) and left < 0:  # a NemesisDB that has not removed it yet
            self.note_gone(watched)

    async def _deadline(self, watched: _Watched, timer: Timer) -> int | None:
        """Return the deadline of a session, as far as it can be read without extending. End a session that is past it.

        Raises:
            SessionExpiredError: it is past its deadline.
        """
        tkn = watched.tkn
        if self.client.may_know(SH_PEEK):
            with contextlib.suppress(UnsupportedError):
                return (await self.access.read(tkn, (), LOOK)).deadline
        if not timer.extend_on_get:
            return (await self.access.read(tkn, (), UPKEEP)).deadline
        await self.access.refuse_overdue(tkn, watched.deadline)
        return watched.deadline


class _Poll:
    """Looks at the sessions of all callers that wait at one interval."""

    def __init__(self, watch: SessionWatch, interval: Interval) -> None:
        self._watch = watch
        self._interval = interval
        self._watched: dict[SessionToken, _Watched] = {}
        self._task: asyncio.Task[None] | None = None
        self._due = interval.clock() + interval.seconds
        self._outage = Outage(_logger, watch.name, "no session counts as ended")

    def join(self, sessions: Deadlines) -> _Waiter:
        """Return a new caller that waits for these sessions."""
        waiter = _Waiter()
        for tkn, deadline in sessions.items():
            watched = self._watched.setdefault(tkn, _Watched(tkn, deadline))
            watched.waiters.add(waiter)
            waiter.sessions.append(watched)
        return waiter

    async def wait(self, waiter: _Waiter) -> SessionEnd:
        """Wait for the first end that a caller waits for. Its sessions are looked at at once."""
        await self._look([watched for watched in waiter.sessions if not watched.is_known])
        while waiter.end is None:
            if waiter.failure is not None:
                raise waiter.failure.with_traceback(None)
            if self._task is None or self._task.done():
                self._task = UnattendedTask(self._run(), loop=asyncio.get_running_loop(), context=Context())
            waiter.news.clear()
            await waiter.news.wait()
        return waiter.end

    def leave(self, waiter: _Waiter) -> bool:
        """Forget a caller. Return True if it was the last one."""
        for watched in waiter.sessions:
            watched.waiters.discard(waiter)
            if not watched.waiters and self._watched.get(watched.tkn) is watched:
                del self._watched[watched.tkn]
        return not self._watched

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def note(self, end: SessionEnd) -> None:
        """Give an end to the callers that wait for it."""
        watched = self._watched.pop(end.tkn, None)
        for waiter in watched.waiters if watched is not None else ():
            waiter.end = waiter.end or end
            waiter.news.set()

    async def _run(self) -> None:
        failure: Exception | None = None
        try:
            while self._watched:
                pause = self._due - self._interval.clock()
                if pause > 0:
                    await self._interval.sleep(pause)
                await self._round()
                self._due = self._interval.clock() + self._interval.seconds
        except Exception as exc:  # noqa: BLE001 - the callers raise it
            failure = exc
        finally:  # also if a hook has cancelled this: the callers then start anew
            for waiter in {waiter for watched in self._watched.values() for waiter in watched.waiters}:
                waiter.failure = failure
                waiter.news.set()

    async def _round(self) -> None:
        """Look which sessions exist, and look closer at those that may have ended by themselves."""
        asked = [*self._watched.values()]
        try:
            existing = await self._existing([watched.tkn for watched in asked])
        except UnavailableError as exc:
            self._note_outage(exc)
            return
        self._outage.is_over()
        for watched in asked:
            if watched.tkn not in existing and self._watched.get(watched.tkn) is watched:
                self._watch.note_gone(watched)
        now = self._watch.access.lifetimes.now()
        await self._look([watched for watched in self._watched.values() if watched.may_end_at <= now])

    async def _existing(self, tokens: Sequence[SessionToken]) -> set[SessionToken]:
        limit = self._watch.client.max_payload
        size = _MOST_TOKENS if limit is None else max(1, min(_MOST_TOKENS, (limit - _FRAME_SIZE) // _TOKEN_SIZE))
        existing: set[SessionToken] = set()
        for start in range(0, len(tokens), size):
            existing.update(await self._watch.client.sh_session_exists(tokens[start : start + size]))
        return existing

    async def _look(self, sessions: Sequence[_Watched]) -> None:
        """Look closer at sessions. If the store gives no answer, that is done in the next round."""
        if not sessions:
            return
        for error in await in_bulk(self._watch.look, sessions, None):
            if isinstance(error, UnavailableError):
                self._note_outage(error)
            elif isinstance(error, NdbError):
                raise error

    def _note_outage(self, error: UnavailableError) -> None:
        if isinstance(error, NotConnectedError):  # the client was closed
            raise error
        self._outage.goes_on(error)
