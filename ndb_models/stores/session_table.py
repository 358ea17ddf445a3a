"""The sessions of a store in memory: how they expire, and how they are read as of one moment.

A heap, the agenda, tells when to look at a session next. Extending a session leaves its entry where it is. The entry
moves back when it comes up.
"""

from __future__ import annotations

import contextlib
import heapq
import math
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import msgspec

from ndb_models.stores.contract import NEVER, ExpirySettings, UnknownSessionError
from ndb_models.stores.expiry import expiry_state
from ndb_models.stores.freeing import freeing
from ndb_models.stores.kept_keys import Kept
from ndb_models.stores.moment import Moment
from ndb_models.stores.occupancy import NO_LIMITS, Occupancy, StoreLimits
from ndb_models.turns import Work, in_turns
from ndb_models.types import Clock, SessionToken

Agenda: TypeAlias = list[tuple[float, SessionToken]]
"""A heap of times, each with the session to look at then."""


class StoredSession(msgspec.Struct, gc=False):
    """A session: its keys, how it expires, and when. `deadline` is infinite if it never expires.

    Keys that came as one text stay one text until one of them changes: that is faster, and takes half the memory. If
    `keys` is a dict, it is never changed: others may be reading it. `looked_at` is the very number object in the
    session's entry of the agenda. Other entries of its token are out of date.
    """

    keys: Kept
    expiry: ExpirySettings
    deadline: float
    looked_at: float


class SessionTable:
    """Sessions by their tokens, in this process. `clock` tells the time in seconds; only differences matter."""

    # The most expired sessions that one creation frees: more than one, so that they cannot pile up.
    _SWEPT_PER_CREATION = 16
    # The most that are freed at a time if there is no room.
    _SWEPT_FOR_ROOM = 64
    # If there are more different expiry settings than this, each session keeps its own.
    _SHARED_SETTINGS = 1024

    def __init__(self, limits: StoreLimits, clock: Clock) -> None:
        self._clock = clock
        self._occupancy = Occupancy(limits) if limits != NO_LIMITS else None
        self._sessions: dict[SessionToken, StoredSession] = {}
        # When to look at a session next. A session that expires has an entry due no later than its deadline. If it has
        # ended or its timer was restarted, its entry is put right when it comes up.
        self._agenda: Agenda = []
        # An agenda that was mostly out of date. Its valid entries are moved over from its end, so that it stays a heap.
        self._former: Agenda = []
        # The moments that are being read while others change the sessions.
        self._moments: list[Moment] = []
        self._settings: dict[ExpirySettings, ExpirySettings] = {NEVER: NEVER}
        self._latest_settings = NEVER
        self.expired: int = 0
        """How often a session was found expired."""
        # The time of the latest creation or sweep.
        self._latest_time = -math.inf

    def _live(self, token: SessionToken, now: float | None = None) -> StoredSession | None:
        """Return a session as it is now, or None. Expiry happens only here."""
        session = self._sessions.get(token)
        if session is None:
            return None
        if now is None:
            now = self._clock()
        if 0 < session.deadline - now <= (session.expiry.duration or math.inf):  # as `expiry_state`, without a call
            return session
        state = expiry_state(session.expiry, session.deadline, now)
        if state is not None and not state.emptied:
            if state.deadline < session.deadline:  # the clock was set back
                self._end_by(token, session, state.deadline)
            return session
        self.expired += 1
        if self._moments:
            self._note(token, session)
        if state is None:
            self._forget(token, session)
            return None
        if self._occupancy is not None:
            self._occupancy.empty(session.keys)
        session.keys = {}
        session.deadline = state.deadline
        return session

    def _note(self, token: SessionToken, session: StoredSession | None) -> None:
        """Have the moments that are being read note a session just before it changes."""
        for moment in self._moments:
            if moment.sessions is self._sessions:
                moment.note(token, session)

    def _forget(self, token: SessionToken, session: StoredSession) -> None:
        """Remove a session. Only `end_all` removes sessions otherwise, all at once."""
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
        """Set a session's deadline."""
        if deadline < session.deadline:
            if self._moments:
                self._note(token, session)
            heapq.heappush(self._agenda, (deadline, token))
            session.looked_at = deadline
        session.deadline = deadline

    def _shared_settings(self, expiry: ExpirySettings) -> ExpirySettings:
        """Return equal settings that are kept already: a million sessions share a handful of settings."""
        if expiry.touch_every and not (expiry.extend_on_set_add or expiry.extend_on_get):
            expiry = expiry._replace(touch_every=0)  # no use restarts the timer; the store on SQLite keeps none either
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
        """Free at most `most` expired sessions, and drop some outdated entries of the agenda.

        Tell whether more sessions may have expired.
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

    def sweeping(self) -> Work[None]:
        """Free all expired sessions."""
        while self._sweep(self._SWEPT_PER_CREATION, self._clock()) or self._former:
            yield

    def tokens(self) -> list[SessionToken]:
        """Return the tokens of all sessions. Expired sessions may be among them."""
        return list(self._sessions)

    def now(self) -> float:
        """Return the time on the store's clock."""
        return self._clock()

    @property
    def size(self) -> int | None:
        """The counted bytes of memory; None if there are no limits."""
        return None if self._occupancy is None else self._occupancy.size

    def take_all(self) -> tuple[dict[SessionToken, StoredSession], tuple[Agenda, Agenda]]:
        """Remove all sessions. Return them and the agendas, for the caller to free."""
        sessions, agendas = self._sessions, (self._agenda, self._former)
        self._sessions, self._agenda, self._former = {}, [], []
        if self._occupancy is not None:
            self._occupancy.end_all()
        return sessions, agendas

    @contextlib.asynccontextmanager
    async def reading(
        self, guard: AbstractContextManager[Any], tokens: Iterable[SessionToken] | None = None
    ) -> AsyncGenerator[Moment]:
        """Read sessions as of now, while others change them. `guard` is held while the reading begins and ends."""
        with guard:
            sessions = self._sessions
            moment = Moment(sessions, tokens, self._clock())
            self._moments.append(moment)
        try:
            yield moment
        finally:
            with guard:
                self._moments.remove(moment)
                is_over = sessions is not self._sessions and not self.is_read(sessions)
            if is_over:
                await in_turns(freeing(sessions))

    def is_read(self, sessions: Mapping[SessionToken, StoredSession]) -> bool:
        """Return True if a reader still reads these sessions."""
        return any(moment.sessions is sessions for moment in self._moments)
