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
from ndb_models.texts import ObjectText, join_members
from ndb_models.types import Clock, SessionToken
from ndb_models.uncopyable import Uncopyable


class StoredSession(msgspec.Struct, gc=False):
    """A session: its keys, how it expires, and when; `deadline` is infinite where it never does.

    Keys that came as one text stay one, until one of them is to be changed: that is quicker, and half the memory. A
    dict of keys that is here is never changed: others may be reading it.
    """

    keys: dict[str, bytes] | ObjectText
    expiry: ExpirySettings
    deadline: float


class MemoryStore(Uncopyable, Store):
    """Keeps everything in this process. `clock` tells the time in seconds; only differences matter."""

    # How many expired sessions one creation frees at the most: more than one, so that they cannot pile up.
    _SWEPT_PER_CREATION = 16
    # Beyond so many different expiry settings, each session keeps its own.
    _SHARED_SETTINGS = 1024

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
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

    def _live(self, token: SessionToken) -> StoredSession | None:
        """Return a session as it is now, or None: the one place where expiry happens."""
        session = self._sessions.get(token)
        if session is None:
            return None
        now = self._clock()
        if now < session.deadline:
            duration = session.expiry.duration
            if duration and session.deadline > now + duration:  # the clock was set back
                self._end_by(token, session, now + duration)
            return session
        self._note_expired(session.keys)
        if session.expiry.delete_session:
            del self._sessions[token]
            return None
        session.keys = {}
        duration = session.expiry.duration
        session.deadline += duration * (math.floor((now - session.deadline) / duration) + 1)
        return session

    def _note_expired(self, keys: Mapping[str, bytes]) -> None:
        """Take note of a session that has expired and loses these keys: what counts them, overrides it."""
        self._expired += 1

    def _require(self, token: SessionToken) -> StoredSession:
        session = self._live(token)
        if session is None:
            raise UnknownSessionError
        return session

    def _keys(self, scope: Scope) -> Mapping[str, bytes]:
        """Return the keys of a map, to look at."""
        return self._shared if scope is None else _parted(self._require(scope).keys)

    def _put(self, scope: Scope, keys: dict[str, bytes]) -> None:
        """Replace the keys of a map that exists."""
        if scope is None:
            self._shared = keys
        else:
            self._sessions[scope].keys = keys

    def _session_to_write(self, token: SessionToken) -> StoredSession:
        session = self._require(token)
        if session.expiry.extend_on_set_add and session.expiry.duration:
            self._end_by(token, session, self._clock() + session.expiry.duration)
        return session

    def _end_by(self, token: SessionToken, session: StoredSession, deadline: float) -> None:
        """Let a session expire at another time."""
        if deadline < session.deadline:
            heapq.heappush(self._agenda, (deadline, token))
        session.deadline = deadline

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        if scope is None:
            self._shared.update(_parted(keys))
            return
        session = self._session_to_write(scope)
        if session.keys and not _replaces(keys, session.keys):
            session.keys = {**_parted(session.keys), **_parted(keys)}
        else:
            session.keys = _kept(keys)

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        if scope is None:
            for name, value in _parted(keys).items():
                self._shared.setdefault(name, value)
            return
        session = self._session_to_write(scope)
        there = _parted(session.keys)
        session.keys = {**there, **{name: text for name, text in _parted(keys).items() if name not in there}}

    @property
    def immediate(self) -> ImmediateVerbs | None:
        """This store; not one that inherits from it, whose verbs may do more."""
        return self if type(self) is MemoryStore else None

    async def get(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        return self.get_now(scope, names)

    def get_now(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Do what `get` does."""
        if scope is None:
            return _chosen(self._shared, names)
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
            return _chosen(keys, names)
        return keys if keys.names == names else _chosen(keys.split(), names)

    async def peek(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        return _chosen(self._keys(scope), names)

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        return dict(self._keys(scope))

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        gone = frozenset(names)
        if scope is None:
            for name in gone:
                self._shared.pop(name, None)
        else:
            self._put(scope, {name: text for name, text in self._keys(scope).items() if name not in gone})

    async def swap(self, scope: Scope, name: str, old: bytes, new: bytes) -> bool:
        there = self._keys(scope)
        if there.get(name) != old:
            return False
        if scope is None:
            self._shared[name] = new
        else:
            self._put(scope, {**there, name: new})
        return True

    async def clear(self, scope: Scope) -> int:
        return await self.replace(scope, {})

    async def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        removed = len(self._keys(scope))
        self._put(scope, dict(_parted(keys)))
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
            self._sweep(self._SWEPT_PER_CREATION)
        self._latest_time = now
        if token in self._sessions and self._live(token) is not None:
            return False
        if expiry is not self._latest_settings:
            expiry = self._shared_settings(expiry)
        deadline = math.inf
        if expiry.duration:
            deadline = now + expiry.duration
            heapq.heappush(self._agenda, (deadline, token))  # sweeping may have made a new one
        self._sessions[token] = StoredSession(_kept(keys), expiry, deadline)
        return True

    def _shared_settings(self, expiry: ExpirySettings) -> ExpirySettings:
        """Return settings that are equal: a million sessions have but a handful, and keep one of each."""
        if len(self._settings) < self._SHARED_SETTINGS:
            expiry = self._latest_settings = self._settings.setdefault(expiry, expiry)
        return expiry

    async def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        session = self._require(token)
        if swaps:
            keys = _swapped(session.keys, swaps)
            if keys is None:
                return False
            session.keys = keys
        session.expiry = self._shared_settings(expiry)
        if not expiry.duration:
            self._end_by(token, session, math.inf)
        else:
            latest = self._clock() + expiry.duration
            self._end_by(token, session, latest if restart else min(latest, session.deadline))
        return True

    async def end(self, token: SessionToken) -> bool:
        if self._live(token) is None:
            return False
        del self._sessions[token]
        return True

    async def end_all(self) -> int:
        self._sweep(None)
        ended = len(self._sessions)
        self._sessions.clear()
        self._agenda.clear()
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
        return Statistics(*await self.totals(), expired=self._expired)

    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        self._sweep(None)
        # A list: a session whose time comes meanwhile goes.
        chosen = list(self._sessions) if tokens is None else dict.fromkeys(tokens)
        return [
            SessionRecord(token, session.expiry, _kept(session.keys))
            for token in chosen
            if (session := self._live(token)) is not None
        ]

    async def sweep(self) -> None:
        self._sweep(None)

    @property
    def _is_overgrown(self) -> bool:
        return len(self._agenda) > 2 * len(self._sessions) + 64

    def _sweep(self, most: int | None) -> None:
        """Free expired sessions, at most so many agenda entries; drop the agenda's dead weight when it outgrows us."""
        now = self._clock()
        if now < self._latest_time:  # the clock was set back
            for token in list(self._sessions):
                self._live(token)
        self._latest_time = now
        agenda = self._agenda
        while agenda and agenda[0][0] <= now and most != 0:
            _, token = heapq.heappop(agenda)
            session = self._live(token)
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


def _swapped(keys: Mapping[str, bytes], swaps: Swaps) -> dict[str, bytes] | ObjectText | None:
    """Return keys with other values, one text if they were; None where one is neither the old nor the new."""
    members = _parted(keys)
    if any(members.get(name) not in swap for name, swap in swaps.items()):
        return None
    swapped = {**members, **{name: new for name, (_, new) in swaps.items()}}
    return ObjectText(join_members(swapped), keys.names) if isinstance(keys, ObjectText) else swapped


def _chosen(keys: Mapping[str, bytes], names: Iterable[str]) -> dict[str, bytes]:
    return {name: keys[name] for name in names if name in keys}


def _parted(keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return keys.split() if isinstance(keys, ObjectText) else keys


def _replaces(keys: Mapping[str, bytes], others: Mapping[str, bytes]) -> bool:
    """Tell whether writing these keys leaves nothing of the others. Only texts are looked at, whose names are known."""
    return type(keys) is ObjectText and type(others) is ObjectText and keys.names == others.names


def _kept(keys: Mapping[str, bytes]) -> dict[str, bytes] | ObjectText:
    """Return keys as they are kept: none that somebody else may change."""
    return keys if type(keys) is ObjectText else dict(keys)
