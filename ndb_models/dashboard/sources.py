"""The contract by which the page reads a store. An engine in this process keeps it, and so does a client.

No method extends an expiry. A session that does not exist is None, never an error.
"""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from ndb_models.schema.envelope import RESERVED_KEY as RESERVED_KEY
from ndb_models.types import ExpirySettings, JsonValue, SessionToken

MOST_NAMES: Final = 200
"""The most keys of one session that the page reads."""

MOST_BYTES: Final = 1024 * 1024
"""The most bytes of values that the page reads of one session, or of one page of a listing."""

MOST_ENTRIES: Final = 5000
"""The most entries of a looked-up value that the page reads."""


class SessionFacts(NamedTuple):
    """Facts about a session. Times are in seconds.

    Attributes:
        key_count: the number of its keys, the reserved one included.
        remaining: the time until its timer runs out; None if it has none.
        expiry: the settings of its timer.
    """

    key_count: int
    remaining: float | None
    expiry: ExpirySettings


@dataclass(frozen=True, slots=True)
class KeysRead:
    """The keys of a session: their values, and the names of keys that are too large or too many to be read."""

    values: Mapping[str, JsonValue] = field(repr=False)
    left_out: Sequence[str] = field(default=(), repr=False)


class ReservedPage(NamedTuple):
    """The reserved keys of some sessions, by token, and the token to go on after; None at the end."""

    values: Mapping[SessionToken, JsonValue]
    last: SessionToken | None


class SessionSource(Protocol):
    """Reads sessions for the page, and ends them.

    Every method raises `UnavailableError` if the store is away, and `UnsupportedError` if the server is a NemesisDB,
    which can neither list sessions nor read them without extending them.
    """

    async def page(self, after: SessionToken | None, count: int) -> ReservedPage:
        """Return the reserved keys of the next sessions. Sessions without one are left out. See `Store.page`."""

    async def keys(self, tkn: SessionToken, most: int = MOST_NAMES) -> KeysRead | None:
        """Return at most `most` keys of a session, of `MOST_BYTES` together."""

    async def some_keys(self, tkn: SessionToken, names: Sequence[str]) -> Mapping[str, JsonValue] | None:
        """Return the keys with these names. Missing ones are left out, and so are unreadable ones."""

    async def facts(self, tkn: SessionToken) -> SessionFacts | None:
        """Return facts about a session."""

    async def shared(self, name: str) -> JsonValue:
        """Return the value of a shared key; None if it does not exist."""

    async def end(self, tkn: SessionToken, schema: str) -> bool:
        """End a session of a schema. Return False if it has ended already."""

    async def totals(self) -> tuple[int, int]:
        """Return the number of sessions and of their keys. This may take as long as a visit to every session."""


UNREADABLE: Final = (ValueError, RecursionError)
"""Errors of a text that is no JSON, or too deep or too long to be read."""


def parsed(texts: Mapping[str, bytes]) -> tuple[dict[str, JsonValue], list[str]]:
    """Return the values of JSON texts, and the names of texts that cannot be read, or exceed `MOST_BYTES`."""
    values: dict[str, JsonValue] = {}
    left_out: list[str] = []
    room = MOST_BYTES
    for name, text in texts.items():
        try:
            if len(text) > room:
                raise ValueError
            values[name] = json.loads(text.decode("utf-8", "surrogatepass"))
            room -= len(text)
        except UNREADABLE:
            left_out.append(name)
    return values, left_out
