"""The store in memory: dictionaries, and a heap of the times when sessions expire.

A verb makes its whole change without waiting, so that it is atomic among the tasks of one event loop. It takes turns
with others only to free memory, to sweep, or to read as of one moment. Threads share a `SharedMemoryStore`.
"""

from __future__ import annotations

import heapq
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from ndb_models.stores.contract import (
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
)
from ndb_models.stores.freeing import freeing
from ndb_models.stores.kept_keys import Kept, chosen, kept, parted, replaces, swapped, without
from ndb_models.stores.moment import hand_over, next_batch
from ndb_models.stores.occupancy import NO_LIMITS, StoreLimits
from ndb_models.stores.session_table import SessionTable, StoredSession
from ndb_models.texts import ObjectText
from ndb_models.turns import Turns, Work, in_turns
from ndb_models.types import Clock, SessionToken
from ndb_models.uncopyable import Uncopyable

T = TypeVar("T")

# The references that `_free` counts to keys that only its caller holds.
_REFERENCES: Final = 3


class MemoryStore(SessionTable, Uncopyable, Store):
    """Keeps all data in this process, and no more than `limits` allow.

    A verb that would exceed a limit raises `LimitError`. Expired sessions do not count: they are freed first. `clock`
    tells the time in seconds; only differences matter.
    """

    # More unused keys than this are freed in turns.
    _FREED_AT_ONCE = 1024

    def __init__(self, limits: StoreLimits = NO_LIMITS, *, clock: Clock = time.monotonic) -> None:
        super().__init__(limits, clock)
        self._shared: dict[str, bytes] = {}

    def _keys(self, scope: Scope) -> Mapping[str, bytes]:
        """Return the keys of a map, for reading."""
        return parted(self._kept(scope))

    def _keep(self, session: StoredSession, keys: Kept, now: float, written: Mapping[str, bytes] | None = None) -> None:
        """Give a session other keys. Keys change only here, and by expiry.

        `written` are the keys that were written over a dict, if there is no other difference.
        """
        if self._occupancy is not None:
            self._occupancy.change(session.keys, keys, written, self._make_room)
        session.keys = keys

    def _make_room(self) -> bool:
        """Free some expired sessions; tell whether there may be more."""
        return self._sweep(self._SWEPT_FOR_ROOM, self._clock())

    def _write_shared(self, written: Mapping[str, bytes]) -> None:
        if self._occupancy is not None:
            self._occupancy.write_shared(self._shared, written, self._make_room)
        self._shared.update(written)

    def _extend_written(self, token: SessionToken, session: StoredSession, now: float) -> None:
        if session.expiry.extend_on_set_add and session.expiry.duration:
            self._end_by(token, session, now + session.expiry.duration)

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        if scope is None:
            self._write_shared(parted(keys))
            return
        now = self._clock()
        session = self._require_to_change(scope, now)
        if session.keys and not replaces(keys, session.keys):
            written = parted(keys)
            self._keep(session, {**parted(session.keys), **written}, now, written)
        else:
            self._keep(session, kept(keys), now)
        self._extend_written(scope, session, now)

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        now = self._clock()
        session = None if scope is None else self._require_to_change(scope, now)
        there = self._shared if session is None else parted(session.keys)
        added = {name: value for name, value in parted(keys).items() if name not in there}
        if scope is None or session is None:
            self._write_shared(added)
            return
        self._keep(session, {**there, **added}, now, added)
        self._extend_written(scope, session, now)

    @property
    def immediate(self) -> ImmediateVerbs | None:
        """This store. None for a subclass, since its verbs may do more."""
        return self if type(self) is MemoryStore else None

    async def get(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        return self.get_now(scope, names)

    def get_now(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        """Do the same as `get`."""
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
        return keys if keys.names == names else keys.chosen(names)

    async def peek(self, scope: Scope, names: Sequence[str]) -> Mapping[str, bytes]:
        return chosen(self._keys(scope), names)

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        return dict(self._keys(scope))

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        gone = frozenset(names)
        if scope is not None:
            now = self._clock()
            session = self._require_to_change(scope, now)
            self._keep(session, without(session.keys, gone), now)
            return
        removed = {name: self._shared.pop(name) for name in gone if name in self._shared}
        if self._occupancy is not None:
            self._occupancy.remove_shared(removed)

    async def swap(self, scope: Scope, name: str, old: bytes, new: bytes) -> bool:
        now = self._clock()
        session = None if scope is None else self._require_to_change(scope, now)
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
        with self._guard:
            old = self._replaced(scope, kept(keys))
        removed = len(old)
        if removed > self._FREED_AT_ONCE:
            await self._free(old)
        return removed

    def _replaced(self, scope: Scope, keys: Kept) -> Kept:
        """Give a map other keys; return its old ones."""
        if scope is not None:
            now = self._clock()
            session = self._require_to_change(scope, now)
            old = session.keys
            self._keep(session, keys, now)
            return old
        shared, new = self._shared, dict(parted(keys))
        if self._occupancy is not None:
            self._occupancy.replace_shared(new, self._make_room)
        self._shared = new
        return shared

    async def _free(self, keys: Kept) -> None:
        """Free unused keys: in turns, if there are many and only the caller still holds them."""
        # The caller's variable, the parameter here, and the argument of `getrefcount`.
        if type(keys) is dict and len(keys) > self._FREED_AT_ONCE and sys.getrefcount(keys) <= _REFERENCES:
            await in_turns(freeing(keys))

    def _kept(self, scope: Scope) -> Kept:
        """Return the keys of a map as they are kept, for their names."""
        return self._shared if scope is None else self._require(scope).keys

    async def count(self, scope: Scope) -> int:
        return len(self._kept(scope))

    async def names(self, scope: Scope, most: int | None = None) -> list[str]:
        return list(islice(self._kept(scope), most))

    async def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        keys = self._kept(scope)
        there = keys if type(keys) is dict else frozenset(keys)
        return [name for name in names if name in there]

    async def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        return self.create_now(token, expiry, keys)

    def create_now(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes]) -> bool:
        """Do the same as `create`."""
        now = self._clock()
        agenda = self._agenda
        if now < self._latest_time or (agenda and (agenda[0][0] <= now or self._is_overgrown)) or self._former:
            self._sweep(self._SWEPT_PER_CREATION, now)
        self._latest_time = now
        if token in self._sessions and self._live(token, now) is not None:
            return False
        kept_keys = kept(keys)
        if self._occupancy is not None:
            self._occupancy.begin(kept_keys, self._make_room)
        if expiry is not self._latest_settings:
            expiry = self._shared_settings(expiry)
        deadline = math.inf
        if expiry.duration:
            deadline = now + expiry.duration
            heapq.heappush(self._agenda, (deadline, token))  # sweeping may have replaced it
        if self._moments:
            self._note(token, None)
        self._sessions[token] = StoredSession(kept_keys, expiry, deadline, deadline)
        return True

    async def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        now = self._clock()
        session = self._require_to_change(token, now)
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
        with self._guard:
            session = self._live(token)
            if session is None:
                return False
            if self._moments:
                self._note(token, session)
            self._forget(token, session)
        keys, session.keys = session.keys, {}
        if len(keys) > self._FREED_AT_ONCE:
            await self._free(keys)
        return True

    async def end_all(self) -> int:
        now = self._clock()
        with self._guard:
            sessions, agendas = self._sessions, (self._agenda, self._former)
            self._sessions, self._agenda, self._former = {}, [], []
            if self._occupancy is not None:
                self._occupancy.end_all()
        ended = 0

        def take_leave(item: tuple[SessionToken, StoredSession]) -> None:
            nonlocal ended
            _, session = item
            is_over = session.deadline <= now
            self._expired += is_over
            ended += not (is_over and session.expiry.delete_session)

        turns = Turns()
        if self._is_read(sessions):  # the last reader frees them
            await turns.do(_each(sessions, take_leave))
        else:
            await turns.do(freeing(sessions, take_leave))
        for agenda in agendas:
            await turns.do(freeing(agenda))
        return ended

    async def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        return [token for token in tokens if self._live(token) is not None]

    async def info(self, token: SessionToken) -> SessionInfo:
        session = self._require(token)
        remaining = session.deadline - self._clock() if session.expiry.duration else None
        return SessionInfo(len(session.keys), session.expiry, remaining)

    async def totals(self) -> tuple[int, int]:
        def count() -> Work[tuple[int, int]]:
            sessions = keys = 0
            for batch in moment.batches():
                if batch is not None:
                    sessions += len(batch)
                    keys += sum([len(record.keys) for record in batch])
                yield
            return sessions, keys

        turns = Turns(guard=self._guard)
        await turns.do(self._sweeping())
        async with self._reading() as moment:
            return await turns.do(count())

    async def statistics(self) -> Statistics:
        sessions, keys = await self.totals()
        size = None if self._occupancy is None else self._occupancy.size
        return Statistics(sessions, keys, self._expired, size)

    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        turns = Turns(guard=self._guard)
        records: list[SessionRecord] = []
        async with self._reading(tokens) as moment:
            batches = moment.batches()
            while batch := await turns.do(next_batch(batches)):
                records += batch
        return records

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        async with self._reading(tokens) as moment:
            return await hand_over(moment.batches(), Turns(guard=self._guard), consume)

    async def sweep(self) -> None:
        await in_turns(self._sweeping(), self._guard)

    async def aclose(self) -> None:
        """Keep the data: a store in memory has no files or connections to close."""


def _each(sessions: Mapping[SessionToken, StoredSession], take: Callable[[Any], None]) -> Work[None]:
    for item in sessions.items():
        take(item)
        yield
