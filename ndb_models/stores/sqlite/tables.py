"""The verbs of the contract in SQL: plain methods on an open connection, in the caller's transaction.

Expiry takes effect here. A verb that reads works out a session's current state. A verb that writes stores that state
first. Each may be carried out again after a rollback: outside the tables it only notes extensions, and noting one twice
does no harm.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from ndb_models.expectations import NO_EXPECTATIONS, Expected, as_expected
from ndb_models.json_text import NO_MEMBERS, ObjectText
from ndb_models.stores.contract import (
    NO_KEYS,
    NO_SWAPS,
    ExpirySettings,
    Scope,
    SessionInfo,
    SessionRecord,
    Swaps,
    UnknownSessionError,
    draw_token,
)
from ndb_models.stores.sqlite.extensions import Extension, Extensions
from ndb_models.stores.sqlite.maps import Keys, signed, unsigned
from ndb_models.stores.sqlite.session_state import COLUMNS, CurrentSession, SessionRow, current_session
from ndb_models.stores.sqlite.sweeping import TimersAhead
from ndb_models.types import Clock, SessionToken

# After this many creations, up to twice as many expired sessions are freed, so that they cannot pile up.
_CREATIONS_PER_SWEEP: Final = 16
# Tokens that are read at a time when all sessions are read.
_TOKENS_TOGETHER: Final = 1024

_DEADLINE: Final = COLUMNS.split(", ").index("deadline")
_SELECT_SESSION: Final = f"SELECT {COLUMNS} FROM session WHERE tkn = ?"
_IS_EXTENDED: Final = "(extend_on_get AND is_extended(tkn, deadline, duration))"
_ALIVE: Final = f"(deadline IS NULL OR deadline > ? OR NOT delete_session OR {_IS_EXTENDED})"


class Tables:
    """The tables of one connection.

    Args:
        connection: to the file.
        clock: tells the time in seconds since 1970.
        extensions: the noted extensions, which are not stored yet.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock, extensions: Extensions) -> None:
        self.connection = connection
        self._clock = clock
        self._extensions = extensions
        self._created = 0
        # The sessions that this transaction has brought up to date.
        self._settled: set[SessionToken] = set()
        self._ahead = TimersAhead()
        connection.create_function("is_extended", 3, self._is_extended)

    def _look(self, token: SessionToken) -> CurrentSession | None:
        """Return a session as it is now, and leave the tables unchanged."""
        noted = self._extensions.of(token)  # before the row: a note goes only once the row has it
        row = self._row(token)
        if row is None:
            return None
        now = self._clock()
        session = current_session(
            token, row, now, None if noted is None else self._effective(noted, row[_DEADLINE], now)
        )
        if session is not None and session.is_ahead:
            self._extensions.note(token, Extension(now, session.expiry.duration), math.inf)
        return session

    def _extension(self, token: SessionToken, stored: float | None, now: float) -> Extension | None:
        """Return the last extension of a session by a read, if it is not stored yet and counts."""
        noted = self._extensions.of(token)
        return None if noted is None else self._effective(noted, stored, now)

    def _effective(self, extension: Extension, stored: float | None, now: float) -> Extension | None:
        """Return an extension if it counts. While extensions cannot be stored, no session outlives its stored time."""
        if stored is None or (now >= stored and self._extensions.failing):
            return None
        return extension

    def _is_extended(self, token: int, stored: float, duration: int) -> bool:
        """Tell SQLite whether an extension keeps a session alive after its stored time."""
        now = self._clock()
        extension = self._extension(unsigned(token), stored, now)
        return extension is not None and min(extension.read_at, now) + min(unsigned(duration), extension.lasts) > now

    def _row(self, token: SessionToken) -> SessionRow | None:
        row: SessionRow | None = self.connection.execute(_SELECT_SESSION, (signed(token),)).fetchone()
        return row

    def _visible(self, scope: Scope) -> Keys | None:
        """Return a map for reading; None if expiry has emptied its session."""
        if scope is not None:
            session = self._look(scope)
            if session is None:
                raise UnknownSessionError
            if session.emptied:
                return None
        return Keys(self.connection, scope)

    def get(self, scope: Scope, names: tuple[str, ...], most: int | None = None) -> ObjectText:
        """See `Verbs.get`. If it restarts a timer, the extension is noted."""
        session = None if scope is None else self._look(scope)
        if scope is not None:
            if session is None:
                raise UnknownSessionError
            if session.expiry.extend_on_get and session.stored is not None:
                now = self._clock()
                self._extensions.note(scope, Extension(now, session.expiry.duration), session.stored - now)
            if session.emptied:
                return ObjectText(NO_MEMBERS, ())
        return ObjectText.joined(Keys(self.connection, scope).read(names, most))

    def peek(self, scope: Scope, names: tuple[str, ...], most: int | None = None) -> ObjectText:
        """See `Verbs.peek`."""
        keys = self._visible(scope)
        return ObjectText(NO_MEMBERS, ()) if keys is None else ObjectText.joined(keys.read(names, most))

    def get_all(self, scope: Scope) -> dict[str, bytes]:
        """See `Verbs.get_all`."""
        keys = self._visible(scope)
        return {} if keys is None else keys.read_all()

    def count(self, scope: Scope) -> int:
        """See `Verbs.count`."""
        keys = self._visible(scope)
        return 0 if keys is None else keys.count()

    def names(self, scope: Scope, most: int | None = None) -> list[str]:
        """See `Verbs.names`."""
        keys = self._visible(scope)
        return [] if keys is None else keys.names(most)

    def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        """See `Verbs.contains`."""
        keys = self._visible(scope)
        return [] if keys is None else keys.contained(tuple(names))

    def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        """See `Verbs.exist`."""
        return [token for token in tokens if self._look(token) is not None]

    def info(self, token: SessionToken) -> SessionInfo:
        """See `Verbs.info`."""
        session = self._look(token)
        if session is None:
            raise UnknownSessionError
        count = 0 if session.emptied else Keys(self.connection, token).count()
        remaining = None if session.deadline is None else session.deadline - self._clock()
        return SessionInfo(count, session.expiry, remaining)

    def totals(self) -> tuple[int, int]:
        """See `Store.totals`."""
        now = self._clock()
        gone = f"SELECT count(*) FROM session JOIN session_key USING (tkn) WHERE deadline <= ? AND NOT {_IS_EXTENDED}"
        return (
            self._number(f"SELECT count(*) FROM session WHERE {_ALIVE}", now),
            self._number(f"SELECT (SELECT count(*) FROM session_key) - ({gone})", now),
        )

    def records(self, tokens: Sequence[SessionToken] | None) -> Iterator[SessionRecord]:
        """Yield the sessions of `Store.read_all` while they are read. The transaction must last as long."""
        clock, now = self._clock, self._clock()
        self._clock = lambda: now
        try:
            for token in self._all_tokens() if tokens is None else dict.fromkeys(tokens):
                session = self._look(token)
                if session is not None:
                    keys = {} if session.emptied else Keys(self.connection, token).read_all()
                    yield SessionRecord(token, session.expiry, keys)
        finally:
            self._clock = clock

    def _all_tokens(self) -> Iterator[SessionToken]:
        after = None
        while tokens := self.tokens(after, _TOKENS_TOGETHER):
            yield from tokens
            after = tokens[-1]

    def tokens(self, after: SessionToken | None, most: int) -> list[SessionToken]:
        """Return at most `most` tokens (-1: all) in the order of the table, after `after` or from the start."""
        start = -(2**63) if after is None else signed(after) + 1
        if start >= 2**63:
            return []
        rows = self.connection.execute(
            f"SELECT tkn FROM session WHERE tkn >= ? AND {_ALIVE} ORDER BY tkn LIMIT ?", (start, self._clock(), most)
        )
        return [unsigned(token) for (token,) in rows]

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
        visible = self._visible(scope)
        found = {} if visible is None else visible.read(tuple(expected))
        if not all(as_expected(found.get(name), value) for name, value in expected.items()):
            return False
        there = self._to_change(scope, by_set_add=True)
        there.remove([name for name in removed if name not in keys])
        there.write(keys, over=True)
        return True

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
        row = (signed(token), signed(expiry.duration), *expiry[1:], deadline, deadline)
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
            (signed(expiry.duration), *expiry[1:], deadline, deadline, signed(token)),
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
        ended = self._number(f"SELECT count(*) FROM session WHERE {_ALIVE}", self._clock())
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
        row = self._row(token)
        if row is None:
            return None
        now = self._clock()
        self._ahead.see(now)
        self._settled.add(token)
        session = current_session(token, row, now, self._extension(token, row[_DEADLINE], now))
        if session is None:
            self._delete(token)
            return None
        if session.emptied:
            Keys(self.connection, token).clear()
            session.emptied = False
        if by_set_add and session.expiry.extend_on_set_add and session.deadline is not None:
            session.deadline = now + session.expiry.duration
        if session.deadline != session.stored:
            self._store_deadline(session)
        return session

    def _store_deadline(self, session: CurrentSession) -> None:
        """Store a session's deadline, and keep its `due` no later than that."""
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

    def _number(self, query: str, *values: float) -> int:
        ((number,),) = self.connection.execute(query, values)
        return int(number)
