"""The sessions of a store in memory: how they expire, and how they are read as of one moment.

A heap, the agenda, tells when to look at a session next. A session that was extended stays where it is in the agenda,
and is put further back when it comes up.
"""

from __future__ import annotations

import contextlib
import heapq
import math
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from ndb_models.stores.contract import NEVER, ExpirySettings, UnknownSessionError
from ndb_models.stores.freeing import freeing
from ndb_models.stores.kept_keys import Kept
from ndb_models.stores.moment import Moment
from ndb_models.stores.occupancy import NO_LIMITS, Occupancy, StoreLimits
from ndb_models.turns import Work, in_turns
from ndb_models.types import Clock, SessionToken


class StoredSession(msgspec.Struct, gc=False):
    """A session: its keys, how it expires, and when; `deadline` is infinite where it never does.

    Keys that came as one text stay one, until one of them is to be changed: that is quicker, and half the memory. A
    dict of keys that is here is never changed: others may be reading it. `looked_at` is the very number under which the
    agenda has the session: other entries of its token are out of date.
    """

    keys: Kept
    expiry: ExpirySettings
    deadline: float
    looked_at: float


class SessionTable:
    """Sessions by their tokens, in this process. `clock` tells the time in seconds; only differences matter."""

    # How many expired sessions one creation frees at the most: more than one, so that they cannot pile up.
    _SWEPT_PER_CREATION = 16
    # How many are freed at a time where there is no room.
    _SWEPT_FOR_ROOM = 64
    # Beyond so many different expiry settings, each session keeps its own.
    _SHARED_SETTINGS = 1024

    def __init__(self, limits: StoreLimits, clock: Clock) -> None:
        self._clock = clock
        self._occupancy = Occupancy(limits) if limits != NO_LIMITS else None
        self._sessions: dict[SessionToken, StoredSession] = {}
        # When to look at a session next: every session that expires has an entry that is due no later than it does.
        # Entries of sessions that have ended, or whose timer was started anew, are put right when they come up.
        self._agenda: list[tuple[float, SessionToken]] = []
        # An agenda that was mostly out of date, while what is not is moved over, from its end: so it stays a heap.
        self._former: list[tuple[float, SessionToken]] = []
        # Those that are being read while others change the sessions.
        self._moments: list[Moment] = []
        # Held while anything is looked at or changed between two turns.
        self._guard: AbstractContextManager[Any] = contextlib.nullcontext()
        self._settings: dict[ExpirySettings, ExpirySettings] = {NEVER: NEVER}
        self._latest_settings = NEVER
        self._expired = 0
        # The latest time at which a timer was entered in the agenda, or all were looked at.
        self._latest_time = -math.inf

    def _live(self, token: SessionToken, now: float | None = None) -> StoredSession | None:
        """Return a session as it is now, or None: the one place where expiry happens."""
        session = self._sessions.get(token)
        if session is None:
            return None
        if now is None:
            now = self._clock()
        if now < session.deadline:
            duration = session.expiry.duration
            if duration and session.deadline > now + duration:  # the clock was set back
                self._end_by(token, session, now + duration)
            return session
        self._expired += 1
        if self._moments:
            self._note(token, session)
        if session.expiry.delete_session:
            self._forget(token, session)
            return None
        if self._occupancy is not None:
            self._occupancy.empty(session.keys)
        session.keys = {}
        duration = session.expiry.duration
        session.deadline += duration * (math.floor((now - session.deadline) / duration) + 1)
        return session

    def _note(self, token: SessionToken, session: StoredSession | None) -> None:
        """Have those who read sessions as of a moment keep one that is about to change."""
        for moment in self._moments:
            if moment.sessions is self._sessions:
                moment.note(token, session)

    def _forget(self, token: SessionToken, session: StoredSession) -> None:
        """Let go of a session: the one place where one goes by itself."""
        del self._sessions[token]
        if self._occupancy is not None:
            self._occupancy.end(session.keys)

    def _require(self, token: SessionToken, now: float | None = None) -> StoredSession:
        session = self._live(token, now)
        if session is None:
            raise UnknownSessionError
        return session

    def _require_to_change(self, token: SessionToken, now: float) -> StoredSession:
        session = self._require(token, now)
        if self._moments:
            self._note(token, session)
        return session

    def _end_by(self, token: SessionToken, session: StoredSession, deadline: float) -> None:
        """Let a session expire at another time."""
        if deadline < session.deadline:
            if self._moments:
                self._note(token, session)
            heapq.heappush(self._agenda, (deadline, token))
            session.looked_at = deadline
        session.deadline = deadline

    def _shared_settings(self, expiry: ExpirySettings) -> ExpirySettings:
        """Return settings that are equal: a million sessions have but a handful, and keep one of each."""
        shared = self._settings.get(expiry)
        if shared is None:
            if len(self._settings) >= self._SHARED_SETTINGS:
                return expiry
            shared = self._settings[expiry] = expiry
        self._latest_settings = shared
        return shared

    @property
    def _is_overgrown(self) -> bool:
        return len(self._agenda) > 2 * len(self._sessions) + 64

    def _sweep(self, most: int, now: float) -> bool:
        """Free expired sessions, so many at the most, and drop some of what is out of date in the agenda.

        Tell whether there may be more that have expired.
        """
        if now < self._latest_time:  # the clock was set back
            for token in list(self._sessions):
                self._live(token, now)
        self._latest_time = now
        if self._is_overgrown and not self._former:
            self._former, self._agenda = self._agenda, []
        for _ in range(min(2 * most, len(self._former))):
            at, token = self._former.pop()
            session = self._sessions.get(token)
            if session is not None and session.looked_at is at:
                heapq.heappush(self._agenda, (at, token))
        for agenda in (self._agenda, self._former):
            while agenda and agenda[0][0] <= now and most:
                at, token = heapq.heappop(agenda)
                most -= 1
                session = self._live(token, now)
                if session is not None and session.looked_at is at and session.expiry.duration:
                    session.looked_at = session.deadline
                    heapq.heappush(self._agenda, (session.deadline, token))
        return not most

    def _sweeping(self) -> Work[None]:
        while self._sweep(self._SWEPT_PER_CREATION, self._clock()) or self._former:
            yield

    @contextlib.asynccontextmanager
    async def _reading(self, tokens: Iterable[SessionToken] | None = None) -> AsyncGenerator[Moment]:
        """Read sessions as of now, while others change them."""
        with self._guard:
            sessions = self._sessions
            moment = Moment(sessions, tokens, self._clock())
            self._moments.append(moment)
        try:
            yield moment
        finally:
            with self._guard:
                self._moments.remove(moment)
                is_over = sessions is not self._sessions and not self._is_read(sessions)
            if is_over:
                await in_turns(freeing(sessions))

    def _is_read(self, sessions: Mapping[SessionToken, StoredSession]) -> bool:
        return any(moment.sessions is sessions for moment in self._moments)
