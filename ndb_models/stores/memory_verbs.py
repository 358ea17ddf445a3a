"""The verbs of the store in memory. A verb makes its whole change without waiting, and so in one step."""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final

from msgspec import Raw

from ndb_models.expectations import NO_EXPECTATIONS, Expected, are_as_expected
from ndb_models.json_text import NO_MEMBERS, ObjectText, join_raw_members, raw_members
from ndb_models.stores.contract import (
    NEVER,
    NO_KEYS,
    NO_SWAPS,
    ExpirySettings,
    Scope,
    SessionInfo,
    Swaps,
    TooLargeError,
    UnknownSessionError,
    Verbs,
)
from ndb_models.stores.expiry import deadline_after_use
from ndb_models.stores.freeing import free_later
from ndb_models.stores.kept_keys import Kept, changed, kept, parted, swapped, updated, without
from ndb_models.stores.member_picking import MemberPicker
from ndb_models.stores.occupancy import StoreLimits
from ndb_models.stores.session_table import SessionTable, StoredSession
from ndb_models.tokens import draw_token
from ndb_models.types import Clock, SessionToken

# More unused keys than this are freed in turns.
_FREED_AT_ONCE: Final = 1024
# The references to keys that only the caller of `_discard` holds: its variable, the parameter, and the argument of
# `getrefcount`.
_REFERENCES: Final = 3


class MemoryVerbs(SessionTable, Verbs):
    """The keys of all sessions and the shared keys, within limits. See `Verbs` for each verb."""

    def __init__(self, limits: StoreLimits, clock: Clock) -> None:
        super().__init__(limits, clock)
        self._shared: dict[str, bytes] = {}
        self._picker = MemberPicker()

    def _keep(self, session: StoredSession, keys: Kept, written: Mapping[str, bytes] | None = None) -> None:
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

    def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        if scope is None:
            self._write_shared(parted(keys))
            return
        now = self._clock()
        session = self._sessions.get(scope)
        if session is None or now >= session.deadline or self._moments:
            session = self._require_to_change(scope, now)
        new = updated(session.keys, keys)
        if self._occupancy is not None:
            self._keep(session, new, None if type(new) is ObjectText else parted(keys))
        session.keys = new
        expiry = session.expiry
        if expiry.duration:
            deadline = deadline_after_use(expiry, expiry.extend_on_set_add, session.deadline, now)
            if deadline < session.deadline:  # the clock was set back
                self._end_by(scope, session, deadline)
            session.deadline = deadline

    def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        added: dict[str, bytes] = {}
        if type(keys) is not ObjectText or keys.text != NO_MEMBERS:
            members = raw_members(keys.text) if type(keys) is ObjectText else keys
            there = self._shared if scope is None else self._require(scope).keys
            added = {name: bytes(value) for name, value in members.items() if name not in there}
        if scope is None:
            self._write_shared(added)
        else:
            self.set(scope, added)

    def get(self, scope: Scope, names: tuple[str, ...], most: int | None = None) -> ObjectText:
        if scope is None:
            return _joined(self._shared, names, most)
        session = self._sessions.get(scope)
        if session is None:
            raise UnknownSessionError  # as `_require`, without calls
        now = self._clock()
        if now >= session.deadline:
            session = self._require(scope, now)
        expiry = session.expiry
        if expiry.duration:
            deadline = deadline_after_use(expiry, expiry.extend_on_get, session.deadline, now)
            if deadline < session.deadline:  # the clock was set back
                self._end_by(scope, session, deadline)
            session.deadline = deadline
        keys = session.keys
        if type(keys) is ObjectText:
            known = keys.known_names
            if known is names or known == names:  # comparing takes long for many names
                return keys
            if len(names) <= 1 and (most is None or len(keys.text) <= most):  # as `_chosen`, without calls
                return keys.chosen(names)
        return self._chosen(keys, names, most)

    def peek(self, scope: Scope, names: tuple[str, ...], most: int | None = None) -> ObjectText:
        now = self._clock()
        session = None if scope is None else self._sessions.get(scope)
        if session is None or not 0 < session.deadline - now <= (session.expiry.duration or math.inf):
            keys = self._kept(scope)
        else:
            keys = session.keys  # as `_live`, without calls
        if type(keys) is ObjectText and keys.known_names == names and (most is None or len(keys.text) <= most):
            return keys
        return self._chosen(keys, names, most)

    def _chosen(self, keys: Kept, names: tuple[str, ...], most: int | None) -> ObjectText:
        """Return the keys with these names as one text.

        Raises:
            TooLargeError: they are several keys, and larger together than `most` bytes.
        """
        if type(keys) is ObjectText and (most is None or len(keys.text) <= most):
            return self._picker.pick(keys, names)
        return _joined(parted(keys), names, most)

    def get_all(self, scope: Scope) -> dict[str, bytes]:
        return dict(parted(self._kept(scope)))

    def remove(self, scope: Scope, names: Iterable[str]) -> None:
        gone = frozenset(names)
        if scope is not None:
            session = self._require_to_change(scope, self._clock())
            self._keep(session, without(session.keys, gone))
            return
        self._remove_shared(gone)

    def _remove_shared(self, names: Iterable[str]) -> None:
        removed = {name: self._shared.pop(name) for name in names if name in self._shared}
        if self._occupancy is not None:
            self._occupancy.remove_shared(removed)

    def change(
        self,
        scope: Scope,
        keys: Mapping[str, bytes],
        removed: Collection[str] = (),
        expected: Expected = NO_EXPECTATIONS,
    ) -> bool:
        if scope is None:
            if not are_as_expected(self._shared, expected):
                return False
            self._write_shared(parted(keys))
            self._remove_shared(frozenset(removed).difference(keys))
            return True
        now = self._clock()
        session = self._sessions.get(scope)
        if session is None or now >= session.deadline or self._moments:
            session = self._require_to_change(scope, now)
        new = changed(session.keys, keys, removed, expected)
        if new is None:
            return False
        if self._occupancy is not None:
            self._keep(session, new, parted(keys) if type(new) is dict and not removed else None)
        session.keys = new
        expiry = session.expiry
        if expiry.duration:
            deadline = deadline_after_use(expiry, expiry.extend_on_set_add, session.deadline, now)
            if deadline < session.deadline:  # the clock was set back
                self._end_by(scope, session, deadline)
            session.deadline = deadline
        return True

    def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        old: Kept
        if scope is None:
            old, new = self._shared, dict(parted(keys))
            if self._occupancy is not None:
                self._occupancy.replace_shared(new, self._make_room)
            self._shared = new
        else:
            session = self._require_to_change(scope, self._clock())
            old = session.keys
            self._keep(session, kept(keys))
        removed = len(old)
        self._discard(old)
        return removed

    def _discard(self, keys: Kept) -> None:
        """Free unused keys: later and in turns, if there are many and only the caller still holds them."""
        if type(keys) is dict and len(keys) > _FREED_AT_ONCE and sys.getrefcount(keys) <= _REFERENCES:
            free_later(keys)

    def _kept(self, scope: Scope) -> Kept:
        """Return the keys of a map as they are kept, for reading."""
        return self._shared if scope is None else self._require(scope).keys

    def count(self, scope: Scope) -> int:
        return len(self._kept(scope))

    def names(self, scope: Scope, most: int | None = None) -> list[str]:
        return list(islice(self._kept(scope), most))

    def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        keys = self._kept(scope)
        there = keys if type(keys) is dict else frozenset(keys)
        return [name for name in names if name in there]

    def new(self, expiry: ExpirySettings) -> SessionToken:
        while not self.create(token := draw_token(), expiry):
            pass
        return token

    def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        now = self._clock()
        agenda = self._agenda
        if now < self._latest_time or (agenda and (agenda[0][0] <= now or self._is_overgrown)) or self._former:
            self._sweep(self._SWEPT_PER_CREATION, now)
        self._latest_time = now
        if token in self._sessions and self._live(token, now) is not None:
            return False
        kept_keys = keys if type(keys) is ObjectText else kept(keys)
        if self._occupancy is not None:
            self._occupancy.begin(kept_keys, self._make_room)
        if expiry is not self._latest_settings and expiry is not NEVER:
            expiry = self._shared_settings(expiry)
        deadline = math.inf
        if expiry.duration:
            deadline = now + expiry.duration
            heapq.heappush(self._agenda, (deadline, token))  # sweeping may have replaced it
        if self._moments:
            self._note(token, None)
        self._sessions[token] = StoredSession(kept_keys, expiry, deadline, deadline)
        return True

    def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        now = self._clock()
        session = self._require_to_change(token, now)
        if swaps:
            keys = swapped(session.keys, swaps)
            if keys is None:
                return False
            self._keep(session, keys)
        session.expiry = self._shared_settings(expiry)
        if not expiry.duration:
            self._end_by(token, session, math.inf)
        else:
            latest = now + expiry.duration
            self._end_by(token, session, latest if restart else min(latest, session.deadline))
        return True

    def end(self, token: SessionToken) -> bool:
        session = self._live(token)
        if session is None:
            return False
        if self._moments:
            self._note(token, session)
        self._forget(token, session)
        keys, session.keys = session.keys, {}
        self._discard(keys)
        return True

    def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        return [token for token in tokens if self._live(token) is not None]

    def info(self, token: SessionToken) -> SessionInfo:
        session = self._require(token)
        remaining = session.deadline - self._clock() if session.expiry.duration else None
        return SessionInfo(len(session.keys), session.expiry, remaining)


def _joined(keys: Mapping[str, bytes], names: tuple[str, ...], most: int | None) -> ObjectText:
    """Return the keys with these names as one text. Missing keys are left out.

    Raises:
        TooLargeError: they are several, and larger together than `most` bytes.
    """
    if keys.keys().isdisjoint(names):
        return ObjectText(NO_MEMBERS, ())
    found = {name: Raw(keys[name]) for name in names if name in keys}
    if most is not None and len(found) > 1 and sum(map(len, found)) + sum(map(len, found.values())) > most:
        raise TooLargeError(most)
    return ObjectText(join_raw_members(found), tuple(found))
