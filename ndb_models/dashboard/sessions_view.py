"""The sessions of a store, as the page shows them: by schema, by the value of a lookup field, and one by one.

Looking extends nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from ndb_models.clocks import monotonic_clock, wall_clock
from ndb_models.dashboard.documents import (
    SchemaFacts,
    envelope_in,
    row_document,
    schema_document,
    session_document,
    split_schema,
)
from ndb_models.dashboard.refusals import CallRefusedError
from ndb_models.dashboard.searching import has_value, listed_under
from ndb_models.dashboard.session_ids import SessionIds
from ndb_models.dashboard.sources import SessionSource
from ndb_models.schema.envelope import NOT_OURS, RESERVED_KEY, Envelope
from ndb_models.types import Clock, JsonValue, SessionToken, redact

MOST_ROWS: Final = 50
"""The most sessions of one list."""

# A census looks at so many sessions, for so many seconds. It holds for so many seconds at least, and so long that
# counting takes this part of the time at most.
_COUNTED: Final = 20_000
_COUNTING: Final = 2.0
_HOLDS: Final = 10.0
_COUNTING_PART: Final = 20
# The sessions of one page of a listing, and the most that one list looks at. A list of a rare schema may have few.
_PAGE: Final = 512
_LOOKED_AT: Final = 8192
# The schemas that are told apart.
_MOST_SCHEMAS: Final = 200

_GONE: Final = "This session has ended."


class LoggedSession(NamedTuple):
    """A session as the log names it: its token without most of its digits, and its schema."""

    token: str
    schema: str


class SessionsView:
    """Shows the sessions of a store, and ends them.

    Args:
        source: reads them.
        ids: names them.
        known: the schemas to show, with facts about each; None for all, without facts.
        clock: tells the time in seconds since 1970.
    """

    def __init__(
        self,
        source: SessionSource,
        ids: SessionIds,
        *,
        known: Mapping[str, SchemaFacts] | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        self._source = source
        self._ids = ids
        self._known = known
        self._clock = clock
        self._counting = asyncio.Lock()
        self._census: dict[str, Any] | None = None
        self._counted_at = 0.0
        self._holds = _HOLDS

    async def schemas(self) -> dict[str, Any]:
        """Return the schemas with the number of their sessions, the largest first.

        Of a large store, only the first sessions are counted: `complete` is false then. The result holds for seconds.
        """
        async with self._counting:
            if self._census is None or monotonic_clock() - self._counted_at > self._holds:
                began = monotonic_clock()
                self._census = await self._count()
                self._counted_at = monotonic_clock()
                self._holds = max(_HOLDS, _COUNTING_PART * (self._counted_at - began))
            return self._census

    async def _count(self) -> dict[str, Any]:
        counts: Counter[str] = Counter(dict.fromkeys(self._known or (), 0))
        until, looked_at, after = monotonic_clock() + _COUNTING, 0, None
        while True:
            page = await self._source.page(after, _PAGE)
            looked_at += _PAGE
            counts.update(schema for schema in map(_schema_of, page.values.values()) if self._shows(schema))
            after = page.last
            if after is None or looked_at >= _COUNTED or monotonic_clock() > until:
                break
        return {
            "schemas": [
                schema_document(schema, count, None if self._known is None else self._known[schema])
                for schema, count in counts.most_common(_MOST_SCHEMAS)
            ],
            "counted": counts.total(),
            "complete": after is None,
        }

    def _shows(self, schema: str) -> bool:
        return bool(schema) if self._known is None else schema in self._known

    def _require_shown(self, schema: str) -> None:
        if not self._shows(schema):
            raise CallRefusedError(HTTPStatus.NOT_FOUND, "There is no such schema here.")

    async def listed(self, schema: str, after: str | None) -> dict[str, Any]:
        """Return some sessions of a schema, and the name to go on after; None at the end."""
        self._require_shown(schema)
        cursor = None if after is None else self._token(after)
        found: dict[SessionToken, Envelope] = {}
        looked_at = 0
        while looked_at < _LOOKED_AT and 2 * len(found) < MOST_ROWS:
            count = _PAGE
            matching, last = await self._page_of(schema, cursor, count)
            if len(found) + len(matching) > MOST_ROWS:  # a smaller page has no more than there is room for
                count = MOST_ROWS - len(found)
                matching, last = await self._page_of(schema, cursor, count)
            found |= matching
            looked_at, cursor = looked_at + count, last
            if cursor is None:
                break
        rows = await self._rows(found)
        return {"sessions": rows, "next": None if cursor is None else self._ids.seal(cursor)}

    async def _page_of(
        self, schema: str, after: SessionToken | None, count: int
    ) -> tuple[dict[SessionToken, Envelope], SessionToken | None]:
        page = await self._source.page(after, count)
        envelopes = {tkn: envelope_in(reserved) for tkn, reserved in page.values.items()}
        return {tkn: each for tkn, each in envelopes.items() if each.schema == schema}, page.last

    async def found(self, schema: str, field: str, text: str) -> dict[str, Any]:
        """Return the sessions with a value in a lookup field, the newest first."""
        self._require_shown(schema)
        tokens = await listed_under(self._source, schema, field, text)
        looked_at = tokens[: 4 * MOST_ROWS]
        having = await asyncio.gather(*(has_value(self._source, tkn, schema, field, text) for tkn in looked_at))
        found = [tkn for tkn, has in zip(looked_at, having, strict=True) if has]
        envelopes = await asyncio.gather(*map(self._envelope, found[:MOST_ROWS]))
        rows = await self._rows(dict(zip(found, envelopes, strict=False)))
        return {"sessions": rows, "next": None, "more": len(found) > MOST_ROWS or len(looked_at) < len(tokens)}

    async def session(self, name: str, *, reveal: bool) -> tuple[dict[str, Any], LoggedSession]:
        """Return a session with its fields, and its name for the log. `reveal` shows values that are no secrets.

        Raises:
            CallRefusedError: it has ended, or its schema is not shown here.
        """
        tkn = self._token(name)
        envelope = await self._shown_envelope(tkn)
        facts, keys = await asyncio.gather(self._source.facts(tkn), self._source.keys(tkn))
        if facts is None or keys is None:
            raise CallRefusedError(HTTPStatus.NOT_FOUND, _GONE)
        row = row_document(name, tkn, envelope, facts, self._clock())
        known = None if self._known is None else self._known[envelope.schema]
        document = session_document(row, envelope, facts, keys, known, reveal=reveal)
        return document, LoggedSession(redact(tkn), _named(envelope.schema))

    async def end(self, name: str) -> LoggedSession:
        """End a session.

        Raises:
            CallRefusedError: it has ended already, or its schema is not shown here.
        """
        tkn = self._token(name)
        envelope = await self._shown_envelope(tkn)
        if not await self._source.end(tkn, envelope.schema):
            raise CallRefusedError(HTTPStatus.NOT_FOUND, _GONE)
        self._counted_at = 0.0
        self._census = None
        return LoggedSession(redact(tkn), _named(envelope.schema))

    def _token(self, name: str) -> SessionToken:
        tkn = self._ids.open(name)
        if tkn is None:
            raise CallRefusedError(HTTPStatus.NOT_FOUND, "This name is of no session here. Load the page again.")
        return tkn

    async def _envelope(self, tkn: SessionToken) -> Envelope:
        found = await self._source.some_keys(tkn, (RESERVED_KEY,)) or {}
        return envelope_in(found.get(RESERVED_KEY))

    async def _shown_envelope(self, tkn: SessionToken) -> Envelope:
        envelope = await self._envelope(tkn)
        if envelope is NOT_OURS or not self._shows(envelope.schema):
            raise CallRefusedError(HTTPStatus.NOT_FOUND, _GONE)
        return envelope

    async def _rows(self, found: Mapping[SessionToken, Envelope]) -> list[dict[str, Any]]:
        facts = await asyncio.gather(*map(self._source.facts, found))
        now = self._clock()
        living: Iterable[tuple[SessionToken, Envelope, Any]] = zip(found, found.values(), facts, strict=True)
        return [
            row_document(self._ids.seal(tkn), tkn, envelope, each, now)
            for tkn, envelope, each in living
            if each is not None
        ]


def _named(schema: str) -> str:
    return "/".join(filter(None, split_schema(schema)))


def _schema_of(reserved: JsonValue) -> str:
    schema = reserved.get("schema") if isinstance(reserved, dict) else None
    return schema if isinstance(schema, str) else ""
