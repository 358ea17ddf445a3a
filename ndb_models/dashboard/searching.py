"""Finds sessions by the value of a lookup field, in the index that repositories keep. Needs no model.

An entry of the index is a hint; the session decides.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Final

from ndb_models.dashboard.documents import counted, envelope_in
from ndb_models.dashboard.sources import MOST_ENTRIES, UNREADABLE, SessionSource
from ndb_models.index.stored_entries import VACANT, IndexEntry, entries_in, numbered
from ndb_models.protocol.commands import is_token
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.schema.lookup import digest, index_prefix
from ndb_models.types import JsonValue, SessionToken

# Each set that vanished has left a name behind.
_MOST_SETS: Final = 16


def values_meant(text: str) -> Iterator[bytes]:
    """Yield the stored values that a person may mean by a text, as JSON: `7` is a number or a text."""
    with contextlib.suppress(*UNREADABLE):
        value = json.loads(text)
        if value is not None and not isinstance(value, float):
            yield json.dumps(value).encode()
    if not (len(text) > 1 and text[0] == text[-1] == '"'):
        yield json.dumps(text).encode()


async def listed_under(source: SessionSource, schema: str, field: str, text: str) -> list[SessionToken]:
    """Return the tokens that the index lists under a value, the newest entries first. They may be out of date."""
    entries: list[IndexEntry] = []
    for value in values_meant(text):
        entries += await _entries(source, index_prefix(schema, field) + digest(value))
    entries.sort(key=lambda entry: entry.made_at, reverse=True)
    return [*dict.fromkeys(entry.tkn for entry in entries if entry.tkn != VACANT)]


async def _entries(source: SessionSource, name: str) -> list[IndexEntry]:
    for key in itertools.islice(numbered(name), _MOST_SETS):
        tkn = await source.shared(key)
        if not isinstance(tkn, int) or not is_token(tkn):
            return []
        found = await source.keys(tkn, MOST_ENTRIES)
        if found is not None:
            return entries_in(found.values)
    return []


async def has_value(source: SessionSource, tkn: SessionToken, schema: str, field: str, text: str) -> bool:
    """Tell whether a session is of this schema, and has a value that the text means."""
    found = await source.some_keys(tkn, (field, RESERVED_KEY))
    if found is None:
        return False
    envelope = envelope_in(found.get(RESERVED_KEY))
    if envelope.staged is not None:
        found = {**found, **(await source.some_keys(tkn, (envelope.staged + field,)) or {})}
    return envelope.schema == schema and envelope.tkn == tkn and _is_meant(counted(envelope, found), field, text)


def _is_meant(values: Mapping[str, JsonValue], field: str, text: str) -> bool:
    if field not in values:
        return False
    stored = digest(json.dumps(values[field]).encode())
    return any(digest(meant) == stored for meant in values_meant(text))
