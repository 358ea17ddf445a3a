"""The verbs of the contract, in SQL: plain functions on an open connection, in a transaction of their caller's.

Expiry is decided here. A verb that reads works out what an expired session has become; a verb that writes makes it so
first. Each may be carried out again after a rollback: none keeps anything but what is in the tables.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ndb_models.stores.contract import (
    ExpirySettings,
    Scope,
    SessionInfo,
    SessionRecord,
    Swaps,
    UnknownSessionError,
)
from ndb_models.stores.sqlite.maps import Keys, signed, unsigned
from ndb_models.types import Clock, SessionToken

# Every so many creations free twice as many sessions that have expired, so that these cannot pile up.
_CREATIONS_PER_SWEEP: Final = 16
# Pages are given back to the system when so many are free, and more than are in use; so many at a time.
_SPARE_PAGES: Final = 1024
_PAGES_GIVEN_BACK: Final = 256

_COLUMNS: Final = "duration, delete_session, extend_on_set_add, extend_on_get, deadline"
_SELECT_SESSION: Final = f"SELECT {_COLUMNS} FROM session WHERE tkn = ?"
_ALIVE: Final = "(deadline IS NULL OR deadline > ? OR NOT delete_session)"


@dataclass(slots=True)
class _Session:
    """A session as it is now. `emptied`: its time has come since anyone wrote, so that the keys it has are gone."""

    token: SessionToken
    expiry: ExpirySettings
    deadline: float | None
    emptied: bool = False


_Row: TypeAlias = tuple[int, int, int, int, float | None]
"""The `_COLUMNS` of a session."""


def _session(token: SessionToken, row: _Row, now: float) -> _Session | None:
    """Return what a session has become; None where its time has come to end. The one place where expiry happens."""
    duration, delete_session, on_set_add, on_get, deadline = row
    expiry = ExpirySettings(unsigned(duration), bool(delete_session), bool(on_set_add), bool(on_get))
    if deadline is None or now < deadline:
        return _Session(token, expiry, deadline)
    if expiry.delete_session:
        return None
    deadline += expiry.duration * (math.floor((now - deadline) / expiry.duration) + 1)
    return _Session(token, expiry, deadline, emptied=True)


class Tables:
    """The tables of one connection. `clock` tells the time in seconds since 1970."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self.connection = connection
        self._clock = clock
        self._created = 0

    def _look(self, token: SessionToken) -> _Session | None:
        """Return a session as it is now, and change nothing."""
        row = self._row(token)
        return None if row is None else _session(token, row, self._clock())

    def _row(self, token: SessionToken) -> _Row | None:
        row: _Row | None = self.connection.execute(_SELECT_SESSION, (signed(token),)).fetchone()
        return row

    def _visible(self, scope: Scope) -> Keys | None:
        """Return a map to read; None where its session has been emptied by its expiry."""
        if scope is not None:
            session = self._look(scope)
            if session is None:
                raise UnknownSessionError
            if session.emptied:
                return None
        return Keys(self.connection, scope)

    def get(self, scope: Scope, names: Sequence[str]) -> dict[str, bytes] | None:
        """Return keys; None where that starts a timer anew, which `get_and_extend` does."""
        session = None if scope is None else self._look(scope)
        if session is None:
            if scope is not None:
                raise UnknownSessionError
        elif session.expiry.extend_on_get and session.deadline is not None:
            return None
        elif session.emptied:
            return {}
        return Keys(self.connection, scope).read(names)

    def peek(self, scope: Scope, names: Sequence[str]) -> dict[str, bytes]:
        """See `Store.peek`."""
        keys = self._visible(scope)
        return {} if keys is None else keys.read(names)

    def get_all(self, scope: Scope) -> dict[str, bytes]:
        """See `Store.get_all`."""
        keys = self._visible(scope)
        return {} if keys is None else keys.read_all()

    def count(self, scope: Scope) -> int:
        """See `Store.count`."""
        keys = self._visible(scope)
        return 0 if keys is None else keys.count()

    def names(self, scope: Scope) -> list[str]:
        """See `Store.names`."""
        keys = self._visible(scope)
        return [] if keys is None else keys.names()

    def contains(self, scope: Scope, names: Sequence[str]) -> list[str]:
        """See `Store.contains`."""
        keys = self._visible(scope)
        return [] if keys is None else keys.contained(names)

    def exist(self, tokens: Sequence[SessionToken]) -> list[SessionToken]:
        """See `Store.exist`."""
        return [token for token in tokens if self._look(token) is not None]

    def info(self, token: SessionToken) -> SessionInfo:
        """See `Store.info`."""
        session = self._look(token)
        if session is None:
            raise UnknownSessionError
        count = 0 if session.emptied else Keys(self.connection, token).count()
        remaining = None if session.deadline is None else session.deadline - self._clock()
        return SessionInfo(count, session.expiry, remaining)

    def totals(self) -> tuple[int, int]:
        """See `Store.totals`."""
        now = self._clock()
        return self._number(f"SELECT count(*) FROM session WHERE {_ALIVE}", now), self._number(
            "SELECT (SELECT count(*) FROM session_key)"
            " - (SELECT count(*) FROM session JOIN session_key USING (tkn) WHERE deadline <= ?)",
            now,
        )

    def export(self, tokens: Sequence[SessionToken] | None) -> list[SessionRecord]:
        """See `Store.export`."""
        if tokens is None:
            tokens = self.tokens(None, -1)
        found = (self._look(token) for token in dict.fromkeys(tokens))
        return [
            SessionRecord(
                session.token,
                session.expiry,
                {} if session.emptied else Keys(self.connection, session.token).read_all(),
            )
            for session in found
            if session is not None
        ]

    def tokens(self, after: SessionToken | None, most: int) -> list[SessionToken]:
        """Return tokens in the order of the table, so many, or all for -1; those behind `after`, or from the start."""
        start = -(2**63) if after is None else signed(after) + 1
        if start >= 2**63:
            return []
        rows = self.connection.execute(
            f"SELECT tkn FROM session WHERE tkn >= ? AND {_ALIVE} ORDER BY tkn LIMIT ?", (start, self._clock(), most)
        )
        return [unsigned(token) for (token,) in rows]

    def set(self, scope: Scope, keys: Mapping[str, bytes], *, over: bool = True) -> None:
        """See `Store.set`; without `over`, `Store.add`."""
        self._to_change(scope, extends_on_set_add=True).write(keys, over=over)

    def get_and_extend(self, scope: Scope, names: Sequence[str]) -> tuple[dict[str, bytes], bool]:
        """Return keys, and whether that started a timer anew."""
        if scope is None:
            return Keys(self.connection, scope).read(names), False
        session = self._settled(scope)
        extended = session.expiry.extend_on_get and self._start_timer(session)
        return Keys(self.connection, scope).read(names), extended

    def remove(self, scope: Scope, names: Sequence[str]) -> None:
        """See `Store.remove`."""
        self._to_change(scope).remove(names)

    def swap(self, scope: Scope, name: str, old: bytes, new: bytes) -> bool:
        """See `Store.swap`."""
        return self._to_change(scope).swap(name, old, new)

    def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        """See `Store.replace`."""
        there = self._to_change(scope)
        removed = there.clear()
        there.write(keys, over=True)
        return removed

    def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes]) -> bool:
        """See `Store.create`."""
        self._created += 1
        if self._created % _CREATIONS_PER_SWEEP == 0:
            self.sweep(2 * _CREATIONS_PER_SWEEP)
        deadline = self._clock() + expiry.duration if expiry.duration else None
        row = (signed(token), signed(expiry.duration), *expiry[1:], deadline, deadline)
        insert = "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        if self.connection.execute(insert, row).rowcount == 0:
            if self._settle(token) is not None:
                return False
            self.connection.execute(insert, row)
        Keys(self.connection, token).write(keys, over=True)
        return True

    def expire(self, token: SessionToken, expiry: ExpirySettings, swaps: Swaps, *, restart: bool) -> bool:
        """See `Store.expire`."""
        session = self._settled(token)
        keys = Keys(self.connection, token)
        there = keys.read(list(swaps))
        if any(there.get(name) not in swap for name, swap in swaps.items()):
            return False
        keys.write({name: new for name, (_, new) in swaps.items()}, over=True)
        deadline = self._clock() + expiry.duration if expiry.duration else None
        if not restart and deadline is not None and session.deadline is not None:
            deadline = min(deadline, session.deadline)
        self.connection.execute(
            "UPDATE session SET duration = ?, delete_session = ?, extend_on_set_add = ?, extend_on_get = ?,"
            " deadline = ?, due = ? WHERE tkn = ?",
            (signed(expiry.duration), *expiry[1:], deadline, deadline, signed(token)),
        )
        return True

    def end(self, token: SessionToken) -> bool:
        """See `Store.end`."""
        if self._settle(token) is None:
            return False
        self._delete(token)
        return True

    def end_all(self) -> int:
        """See `Store.end_all`."""
        ended = self._number(f"SELECT count(*) FROM session WHERE {_ALIVE}", self._clock())
        self.connection.execute("DELETE FROM session")
        self.connection.execute("DELETE FROM session_key")
        return ended

    def sweep(self, most: int) -> bool:
        """Free what so many expired sessions occupy, and some of the file; tell whether there may be more of them."""
        now = self._clock()
        rows = self.connection.execute("SELECT tkn FROM session WHERE due <= ? ORDER BY due LIMIT ?", (now, most))
        due = [unsigned(token) for (token,) in rows]
        for token in due:
            if self._settle(token) is not None:
                self.connection.execute("UPDATE session SET due = deadline WHERE tkn = ?", (signed(token),))
        return len(due) == most

    def give_back(self) -> bool:
        """Give some of the file's free pages back to the system, where most are free; tell whether there are more."""
        free = self._number("PRAGMA freelist_count")
        if free < _SPARE_PAGES or 2 * free < self._number("PRAGMA page_count"):
            return False
        self.connection.execute(f"PRAGMA incremental_vacuum({_PAGES_GIVEN_BACK})").fetchall()
        return True

    def _to_change(self, scope: Scope, *, extends_on_set_add: bool = False) -> Keys:
        """Return a map as it is now, to be changed."""
        if scope is not None:
            session = self._settled(scope)
            if extends_on_set_add and session.expiry.extend_on_set_add:
                self._start_timer(session)
        return Keys(self.connection, scope)

    def _settled(self, token: SessionToken) -> _Session:
        session = self._settle(token)
        if session is None:
            raise UnknownSessionError
        return session

    def _settle(self, token: SessionToken) -> _Session | None:
        """Return a session as it is now, and make it so in the tables, if its time has come."""
        row = self._row(token)
        if row is None:
            return None
        session = _session(token, row, self._clock())
        if session is None:
            self._delete(token)
        elif session.emptied:
            Keys(self.connection, token).clear()
            self._store_deadline(session)
            session.emptied = False
        return session

    def _start_timer(self, session: _Session) -> bool:
        """Start a timer anew; tell whether there is one."""
        if session.deadline is None:
            return False
        session.deadline = self._clock() + session.expiry.duration
        self._store_deadline(session)
        return True

    def _store_deadline(self, session: _Session) -> None:
        self.connection.execute(
            "UPDATE session SET deadline = ? WHERE tkn = ?", (session.deadline, signed(session.token))
        )

    def _delete(self, token: SessionToken) -> None:
        Keys(self.connection, token).clear()
        self.connection.execute("DELETE FROM session WHERE tkn = ?", (signed(token),))

    def _number(self, query: str, *values: float) -> int:
        ((number,),) = self.connection.execute(query, values)
        return int(number)
