"""The store in memory: dictionaries, and a heap of when sessions expire.

Nothing here waits, so that every verb is atomic among the tasks of one event loop. Threads share a `SharedMemoryStore`.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ndb_models.stores.contract import (
    NEVER,
    NO_KEYS,
    NO_SWAPS,
    ExpirySettings,
    ImmediateVerbs,
    Scope,
    SessionInfo,
    SessionRecord,
    Statistics,
    Store,
    Swaps,
    UnknownSessionError,
)
from ndb_models.stores.kept_keys import Kept, chosen, kept, parted, replaces, swapped, without
from ndb_models.stores.occupancy import NO_LIMITS, Occupancy, StoreLimits
from ndb_models.texts import ObjectText
from ndb_models.types import Clock, SessionToken
from ndb_models.uncopyable import Uncopyable


class StoredSession(msgspec.Struct, gc=False):
    """A session: its keys, how it expires, and when; `deadline` is infinite where it never does.

    Keys that came as one text stay one, until one of them is to be changed: that is quicker, and half the memory. A
    dict of keys that is here is never changed: others may be reading it.
    """

    keys: Kept
    expiry: ExpirySettings
    deadline: float


class MemoryStore(Uncopyable, Store):
    """Keeps everything in this process, and no more than `limits` allow.

    A verb that would go beyond them raises `LimitError`. What has expired does not count: it is freed first. `clock`
    tells the time in seconds; only differences matter.
    """

    # How many expired sessions one creation frees at the most: more than one, so that they cannot pile up.
    _SWEPT_PER_CREATION = 16
    # Beyond so many different expiry settings, each session keeps its own.
    _SHARED_SETTINGS = 1024

    def __init__(self, limits: StoreLimits = NO_LIMITS, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._occupancy = Occupancy(limits) if limits != NO_LIMITS else None
        self._shared: dict[str, bytes] = {}
        self._sessions: dict[SessionToken, StoredSession] = {}
        # When to look at a session next: every session that expires has an entry that is due no later than it does.
        # Entries of sessions that have ended, or whose timer was started anew, are put right when they come up.
        self._agenda: list[tuple[float, SessionToken]] = []
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
        if session.expiry.delete_session:
            self._forget(token, session)
            return None
        if self._occupancy is not None:
            self._occupancy.empty(session.keys)
        session.keys = {}
        duration = session.expiry.duration
        session.deadline += duration * (math.floor((now - session.deadline) / duration) + 1)
        return session

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

    def _keys(self, scope: Scope) -> Mapping[str, bytes]:
        """Return the keys of a map, to look at."""
        return self._shared if scope is None else parted(self._require(scope).keys)

    def _keep(self, session: StoredSession, keys: Kept, now: float, written: Mapping[str, bytes] | None = None) -> None:
        """Give a session other keys: the one place where they change, but for expiry.

        `written` are those that were written over a dict, if that is all the difference.
        """
        if self._occupancy is not None:
            self._occupancy.change(session.keys, keys, written, lambda: self._sweep(None, now))
        session.keys = keys

    def _write_shared(self, written: Mapping[str, bytes]) -> None:
        if self._occupancy is not None:
            self._occupancy.write_shared(self._shared, written, lambda: self._sweep(None))
        self._shared.update(written)

    def _end_by(self, token: SessionToken, session: StoredSession, deadline: float) -> None:
        """Let a session expire at another time."""
        if deadline < session.deadline:
            heapq.heappush(self._agenda, (deadline, token))
        session.deadline = deadline

    def _extend_written(self, token: SessionToken, session: StoredSession, now: float) -> None:
        if session.expiry.extend_on_set_add and session.expiry.duration:
            self._end_by(token, session, now + session.expiry.duration)

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        if scope is None:
            self._write_shared(parted(keys))
            return
        now = self._clock()
        session = self._require(scope, now)
        if session.keys and not replaces(keys, session.keys):
            written = parted(keys)
            self._keep(session, {**parted(session.keys), **written}, now, written)
        else:
            self._keep(session, kept(keys), now)
        self._extend_written(scope, session, now)

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        now = self._clock()
        session = None if scope is None else self._require(scope, now)
        there = self._shared if session is None else parted(session.keys)
        added = {name: value for name, value in parted(keys).items() if name not in there}
        if scope is None or session is None:
            self._write_shared(added)
            return
        self._keep(session, {**there, **added}, now, added)
        self._extend_written(scope, session, now)

    @property
    def immediate(self) -> ImmediateVerbs | None:
        """This store; not one that inherits from it, whose verbs may do more."""
        return self if type(self) is MemoryStore else None

    async def get(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        return self.get_now(scope, names)

    def get_now(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Do what `get` does."""
        if scope is None:
            return chosen(self._shared, names)
        now = self._clock()
        session = self._sessions.get(scope)
        if session is None or now >= session.deadline:
            session = self._require(scope)
        expiry = session.expiry
        if expiry.extend_on_get and expiry.duration:
            deadline = now + expiry.duration
            if deadline >= session.deadline:
                session.deadline = deadline
            else:  # the clock was set back
                self._end_by(scope, session, deadline)
        elif expiry.duration and now + expiry.duration < session.deadline:
            session = self._require(scope)
        keys = session.keys
        if type(keys) is not ObjectText:
            return chosen(keys, names)
        return keys if keys.names == names else chosen(keys.split(), names)

    async def peek(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        return chosen(self._keys(scope), names)

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        return dict(self._keys(scope))

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        gone = frozenset(names)
        if scope is not None:
            now = self._clock()
            session = self._require(scope, now)
            self._keep(session, without(session.keys, gone), now)
            return
        removed = {name: self._shared.pop(name) for name in gone if name in self._shared}
        if self._occupancy is not None:
            self._occupancy.remove_shared(removed)

    async def swap(self, scope: Scope, name: str, old: bytes, new: bytes) -> bool:
        now = self._clock()
        session = None if scope is None else self._require(scope, now)
        there = self._shared if session is None else parted(session.keys)
        if there.get(name) != old:
            return False
        if session is None:
            self._write_shared({name: new})
        else:
            self._keep(session, {**there, name: new}, now, {name: new})
        return True

    async def clear(self, scope: Scope) -> int:
        return await self.replace(scope, {})

    async def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        if scope is not None:
            now = self._clock()
            session = self._require(scope, now)
            removed = len(session.keys)
            self._keep(session, kept(keys), now)
            return removed
        removed, shared = len(self._shared), dict(parted(keys))
        if self._occupancy is not None:
            self._occupancy.replace_shared(self._shared, shared, lambda: self._sweep(None))
        self._shared = shared
        return removed

    async def count(self, scope: Scope) -> int:
        return len(self._keys(scope))

    async def names(self, scope: Scope) -> list[str]:
        return list(self._keys(scope))

    async def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        there = self._keys(scope)
        return [name for name in names if name in there]

    async def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        return self.create_now(token, expiry, keys)

    def create_now(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes]) -> bool:
        """Do what `create` does."""
        now = self._clock()
        agenda = self._agenda
        if now < self._latest_time or (agenda and (agenda[0][0] <= now or self._is_overgrown)):
            self._sweep(self._SWEPT_PER_CREATION, now)
        self._latest_time = now
        if token in self._sessions and self._live(token, now) is not None:
            return False
        kept_keys = kept(keys)
        if self._occupancy is not None:
            self._occupancy.begin(kept_keys, lambda: self._sweep(None, now))
        if expiry is not self._latest_settings:
            expiry = self._shared_settings(expiry)
        deadline = math.inf
        if expiry.duration:
            deadline = now + expiry.duration
            heapq.heappush(self._agenda, (deadline, token))  # sweeping may have made a new one
        self._sessions[token] = StoredSession(kept_keys, expiry, deadline)
        return True

    def _shared_settings(self, expiry: ExpirySettings) -> ExpirySettings:
        """Return settings that are equal: a million sessions have but a handful, and keep one of each."""
        shared = self._settings.get(expiry)
        if shared is None:
            if len(self._settings) >= self._SHARED_SETTINGS:
                return expiry
            shared = self._settings[expiry] = expiry
        self._latest_settings = shared
        return shared

    async def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        now = self._clock()
        session = self._require(token, now)
        if swaps:
            keys = swapped(session.keys, swaps)
            if keys is None:
                return False
            self._keep(session, keys, now)
        session.expiry = self._shared_settings(expiry)
        if not expiry.duration:
            self._end_by(token, session, math.inf)
        else:
            latest = now + expiry.duration
            self._end_by(token, session, latest if restart else min(latest, session.deadline))
        return True

    async def end(self, token: SessionToken) -> bool:
        session = self._live(token)
        if session is None:
            return False
        self._forget(token, session)
        return True

    async def end_all(self) -> int:
        self._sweep(None)
        ended = len(self._sessions)
        self._sessions.clear()
        self._agenda.clear()
        if self._occupancy is not None:
            self._occupancy.end_all(self._shared)
        return ended

    async def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        return [token for token in tokens if self._live(token) is not None]

    async def info(self, token: SessionToken) -> SessionInfo:
        session = self._require(token)
        remaining = session.deadline - self._clock() if session.expiry.duration else None
        return SessionInfo(len(session.keys), session.expiry, remaining)

    async def totals(self) -> tuple[int, int]:
        self._sweep(None)
        return len(self._sessions), sum(len(session.keys) for session in self._sessions.values())

    async def statistics(self) -> Statistics:
        sessions, keys = await self.totals()
        size = None if self._occupancy is None else self._occupancy.size
        return Statistics(sessions, keys, self._expired, size)

    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        self._sweep(None)
        # A list: a session whose time comes meanwhile goes.
        wanted = list(self._sessions) if tokens is None else dict.fromkeys(tokens)
        return [
            SessionRecord(token, session.expiry, kept(session.keys))
            for token in wanted
            if (session := self._live(token)) is not None
        ]

    async def sweep(self) -> None:
        self._sweep(None)

    @property
    def _is_overgrown(self) -> bool:
        return len(self._agenda) > 2 * len(self._sessions) + 64

    def _sweep(self, most: int | None, now: float | None = None) -> None:
        """Free expired sessions, at most so many agenda entries; drop the agenda's dead weight when it outgrows us."""
        if now is None:
            now = self._clock()
        if now < self._latest_time:  # the clock was set back
            for token in list(self._sessions):
                self._live(token, now)
        self._latest_time = now
        agenda = self._agenda
        while agenda and agenda[0][0] <= now and most != 0:
            _, token = heapq.heappop(agenda)
            session = self._live(token, now)
            if session is not None and session.expiry.duration:
                heapq.heappush(agenda, (session.deadline, token))
            most = None if most is None else most - 1
        if self._is_overgrown:
            self._agenda = [
                (session.deadline, token) for token, session in self._sessions.items() if session.expiry.duration
            ]
            heapq.heapify(self._agenda)

    async def aclose(self) -> None:
        """Keep the data: a store in memory has nothing to let go of."""
