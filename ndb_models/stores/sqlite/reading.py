"""The verbs of the contract that read, in SQL: plain methods on an open connection, in the caller's transaction.

Expiry takes effect here: a verb works out a session's current state.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final

from ndb_models.json_text import NO_MEMBERS, ObjectText
from ndb_models.stores.contract import (
    Scope,
    SessionInfo,
    SessionRecord,
    UnknownSessionError,
)
from ndb_models.stores.expiry import deadline_after_use
from ndb_models.stores.sqlite.extensions import Extension, Extensions
from ndb_models.stores.sqlite.maps import VALUES_TOGETHER, Keys, signed, unsigned, value_columns
from ndb_models.stores.sqlite.session_state import COLUMNS, CurrentSession, SessionRow, current_session
from ndb_models.types import Clock, SessionToken

# Tokens that are read at a time when all sessions are read.
_TOKENS_TOGETHER: Final = 1024

DEADLINE: Final = COLUMNS.split(", ").index("deadline")
_IS_EXTENDED: Final = "(extend_on_get AND is_extended(tkn, deadline, duration))"
ALIVE: Final = f"(deadline IS NULL OR deadline > ? OR NOT delete_session OR {_IS_EXTENDED})"


@cache
def _select_session(values: int) -> str:
    """Return the statement for a session's row with so many values of its keys."""
    return f"SELECT {', '.join([COLUMNS, *value_columns(values)])} FROM session WHERE tkn = ?"


class ReadTables:
    """The tables of one connection, for reading.

    Args:
        connection: to the file.
        clock: tells the time in seconds since 1970.
        extensions: the noted extensions, which are not stored yet.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock, extensions: Extensions) -> None:
        self.connection = connection
        self._clock = clock
        self._extensions = extensions
        connection.create_function("is_extended", 3, self._is_extended)

    def _look(self, token: SessionToken, names: Sequence[str] = ()) -> CurrentSession | None:
        """Return a session as it is now, with the first values of these keys, and leave the tables unchanged."""
        noted = self._extensions.of(token)  # before the row: a note goes only once the row has it
        row = self._row(token, names)
        if row is None:
            return None
        now = self._clock()
        session = current_session(
            token, row, now, None if noted is None else self._effective(noted, row[DEADLINE], now)
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

    def _row(self, token: SessionToken, names: Sequence[str] = ()) -> SessionRow | None:
        """Return a session's row, with the values of the first `VALUES_TOGETHER` keys with these names."""
        first = names[:VALUES_TOGETHER]
        row: SessionRow | None = self.connection.execute(
            _select_session(len(first)), (*first, signed(token))
        ).fetchone()
        return row

    def _session(self, scope: Scope, names: Sequence[str] = ()) -> CurrentSession | None:
        """Work as `_look` for the session of a map; return None for the shared map."""
        if scope is None:
            return None
        session = self._look(scope, names)
        if session is None:
            raise UnknownSessionError
        return session

    def _visible(self, scope: Scope) -> Keys | None:
        """Return a map for reading; None if expiry has emptied its session."""
        session = self._session(scope)
        return None if session is not None and session.emptied else Keys(self.connection, scope)

    def _chosen(
        self, scope: Scope, session: CurrentSession | None, names: tuple[str, ...], most: int | None
    ) -> ObjectText:
        """Return the keys with these names. `session` is the map's, looked at with them."""
        if session is None:
            return ObjectText.joined(Keys(self.connection, scope).read(names, most))
        if session.emptied:
            return ObjectText(NO_MEMBERS, ())
        return ObjectText.joined(Keys(self.connection, scope).read(names, most, session.values))

    def get(self, scope: Scope, names: tuple[str, ...], most: int | None = None) -> ObjectText:
        """See `Verbs.get`. If it restarts a timer, the extension is noted."""
        session = self._session(scope, names)
        if session is not None and session.expiry.extend_on_get:
            self._note_use(session)
        return self._chosen(scope, session, names, most)

    def _note_use(self, session: CurrentSession) -> None:
        """Note that a session was read, if that restarts its timer."""
        if session.deadline is not None and session.stored is not None:
            now = self._clock()
            if deadline_after_use(session.expiry, True, session.deadline, now) > session.deadline:
                self._extensions.note(session.token, Extension(now, session.expiry.duration), session.stored - now)

    def peek(self, scope: Scope, names: tuple[str, ...], most: int | None = None) -> ObjectText:
        """See `Verbs.peek`."""
        return self._chosen(scope, self._session(scope, names), names, most)

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
            self._number(f"SELECT count(*) FROM session WHERE {ALIVE}", now),
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
            f"SELECT tkn FROM session WHERE tkn >= ? AND {ALIVE} ORDER BY tkn LIMIT ?", (start, self._clock(), most)
        )
        return [unsigned(token) for (token,) in rows]

    def _number(self, query: str, *values: float) -> int:
        ((number,),) = self.connection.execute(query, values)
        return int(number)
