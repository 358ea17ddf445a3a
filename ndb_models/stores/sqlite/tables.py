"""The verbs of the contract in SQL: plain methods on an open connection, in the caller's transaction.

A verb that writes stores a session's current state first. Each verb may be carried out again after a rollback: outside
the tables it only notes extensions, and noting one twice does no harm.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ndb_models.expectations import NO_EXPECTATIONS, Expected, are_as_expected
from ndb_models.stores.contract import (
    NO_KEYS,
    NO_SWAPS,
    ExpirySettings,
    Scope,
    Swaps,
    UnknownSessionError,
)
from ndb_models.stores.expiry import deadline_after_use
from ndb_models.stores.sqlite.extensions import Extensions
from ndb_models.stores.sqlite.maps import Keys, signed, unsigned
from ndb_models.stores.sqlite.reading import ALIVE, DEADLINE, ReadTables
from ndb_models.stores.sqlite.session_state import CurrentSession, current_session, use_columns
from ndb_models.stores.sqlite.sweeping import TimersAhead
from ndb_models.tokens import draw_token
from ndb_models.types import Clock, SessionToken

# After this many creations, up to twice as many expired sessions are freed, so that they cannot pile up.
_CREATIONS_PER_SWEEP: Final = 16


@dataclass(slots=True)
class ExpiryCount:
    """How often sessions were found expired. One is counted again if its transaction is undone and repeated."""

    number: int = 0


class Tables(ReadTables):
    """The tables of one connection. Arguments are those of `ReadTables`, and the count of sessions found expired."""

    def __init__(
        self, connection: sqlite3.Connection, clock: Clock, extensions: Extensions, expired: ExpiryCount
    ) -> None:
        super().__init__(connection, clock, extensions)
        self._created = 0
        self._expired = expired
        # The sessions that this transaction has brought up to date.
        self._settled: set[SessionToken] = set()
        self._ahead = TimersAhead()

    def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """See `Verbs.set`."""
        self._to_change(scope, by_set_add=True).write(keys, over=True)

    def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        """See `Verbs.add`."""
        self._to_change(scope, by_set_add=True).write(keys, over=False)

    def remove(self, scope: Scope, names: Iterable[str]) -> None:
        """See `Verbs.remove`."""
        self._to_change(scope).remove(tuple(names))

    def change(
        self,
        scope: Scope,
        keys: Mapping[str, bytes],
        removed: Collection[str] = (),
        expected: Expected = NO_EXPECTATIONS,
    ) -> bool:
        """See `Verbs.change`."""
        names = tuple(expected)
        session = None if scope is None else self._current(scope, names)
        if scope is not None and session is None:
            raise UnknownSessionError
        there = Keys(self.connection, scope)
        is_made = not names or are_as_expected(
            there.read(names, None, () if session is None else session.values), expected
        )
        if session is not None:
            self._store(session, by_set_add=is_made)
        if is_made:
            there.remove([name for name in removed if name not in keys])
            there.write(keys, over=True)
        return is_made

    def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        """See `Verbs.replace`."""
        there = self._to_change(scope)
        removed = there.clear()
        there.write(keys, over=True)
        return removed

    def new(self, expiry: ExpirySettings) -> SessionToken:
        """See `Verbs.new`."""
        while not self.create(token := draw_token(), expiry):
            pass
        return token

    def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        """See `Verbs.create`."""
        self._created += 1
        if self._created % _CREATIONS_PER_SWEEP == 0:
            self.sweep(2 * _CREATIONS_PER_SWEEP)
        now = self._clock()
        self._ahead.see(now)
        deadline = now + expiry.duration if expiry.duration else None
        uses = use_columns(expiry)
        row = (signed(token), signed(expiry.duration), expiry.delete_session, *uses, deadline, deadline)
        insert = "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        if self.connection.execute(insert, row).rowcount == 0:
            if self._settle(token) is not None:
                return False
            self.connection.execute(insert, row)
        Keys(self.connection, token).write(keys, over=True)
        return True

    def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        """See `Verbs.expire`."""
        session = self._settle(token)
        if session is None:
            raise UnknownSessionError
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
            (signed(expiry.duration), expiry.delete_session, *use_columns(expiry), deadline, deadline, signed(token)),
        )
        return True

    def end(self, token: SessionToken) -> bool:
        """See `Verbs.end`."""
        if self._settle(token) is None:
            return False
        self._delete(token)
        return True

    def end_all(self) -> int:
        """See `Store.end_all`."""
        ended = self._number(f"SELECT count(*) FROM session WHERE {ALIVE}", self._clock())
        self.connection.execute("DELETE FROM session")
        self.connection.execute("DELETE FROM session_key")
        return ended

    def begin(self, statement: str) -> None:
        """Begin a transaction."""
        self._settled.clear()
        self.connection.execute(statement)

    def extend(self, tokens: Collection[SessionToken]) -> None:
        """Store the noted extensions of these sessions, if they still exist."""
        for token in tokens:
            if token not in self._settled:
                self._settle(token)

    def sweep(self, most: int) -> bool:
        """Free the room of at most `most` expired sessions; tell whether there may be more."""
        now = self._clock()
        rows = self.connection.execute("SELECT tkn FROM session WHERE due <= ? ORDER BY due LIMIT ?", (now, most))
        due = [unsigned(token) for (token,) in rows]
        ahead = self._ahead.next_tokens(self.connection, now, most)
        for token in (*due, *ahead):
            self._set_due(token)
        return not self._ahead.is_done or len(due) == most

    def _set_due(self, token: SessionToken) -> None:
        """Bring a session up to date, and have a sweep look at it again when its time comes."""
        if self._settle(token) is not None:
            self.connection.execute("UPDATE session SET due = deadline WHERE tkn = ?", (signed(token),))

    def _to_change(self, scope: Scope, *, by_set_add: bool = False) -> Keys:
        """Return a map as it is now, for writing. `by_set_add` extends its session if its settings say so."""
        if scope is not None and self._settle(scope, by_set_add=by_set_add) is None:
            raise UnknownSessionError
        return Keys(self.connection, scope)

    def _settle(self, token: SessionToken, *, by_set_add: bool = False) -> CurrentSession | None:
        """Store a session's current state in the tables, and return it; None if the session does not exist."""
        session = self._current(token)
        if session is not None:
            self._store(session, by_set_add=by_set_add)
        return session

    def _current(self, token: SessionToken, names: Sequence[str] = ()) -> CurrentSession | None:
        """Return a session as it is now, with the first values of these keys, for `_store`.

        Return None if it does not exist. Data that has expired is removed.
        """
        row = self._row(token, names)
        if row is None:
            return None
        now = self._clock()
        self._ahead.see(now)
        self._settled.add(token)
        session = current_session(token, row, now, self._extension(token, row[DEADLINE], now))
        if session is None:
            self._expired.number += 1
            self._delete(token)
            return None
        if session.emptied:
            self._expired.number += 1
            Keys(self.connection, token).clear()
            session.emptied, session.values = False, ()
        return session

    def _store(self, session: CurrentSession, *, by_set_add: bool) -> None:
        """Store the state of a session in the tables. `by_set_add` extends it first, if its settings say so."""
        if by_set_add and session.deadline is not None:
            session.deadline = deadline_after_use(
                session.expiry, session.expiry.extend_on_set_add, session.deadline, self._clock()
            )
        if session.deadline == session.stored:
            return
        # Its `due` is no later than its deadline.
        deadline, token = session.deadline, signed(session.token)
        if deadline is not None and session.due is not None and session.due <= deadline:
            self.connection.execute("UPDATE session SET deadline = ? WHERE tkn = ?", (deadline, token))
        else:
            self.connection.execute(
                "UPDATE session SET deadline = ?, due = ? WHERE tkn = ?", (deadline, deadline, token)
            )

    def _delete(self, token: SessionToken) -> None:
        Keys(self.connection, token).clear()
        self.connection.execute("DELETE FROM session WHERE tkn = ?", (signed(token),))
