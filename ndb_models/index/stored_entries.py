"""The form in which the index is stored: the names of entry sets, and the entries in a set. No I/O."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import MAX_TOKEN
from ndb_models.types import JsonValue, SessionToken, redact

VACANT: Final = 0
"""The token of an entry that stands for no session. No server gives it out."""


class IndexEntry(msgspec.Struct, frozen=True, gc=False):
    """An index entry: its key, the session that it stands for, and the time it was made, in ms since 1970."""

    key: str
    tkn: SessionToken
    made_at: int

    @property
    def as_keys(self) -> ObjectText:
        """The entry as it is stored."""
        return ObjectText(b'{"%b":[%d,%d]}' % (self.key.encode(), self.tkn, self.made_at), (self.key,))

    @property
    def identity(self) -> tuple[str, SessionToken]:
        """Its key and its session. The time may differ when the same entry is written again."""
        return self.key, self.tkn

    def vacated(self) -> IndexEntry:
        """Return the entry without its session."""
        return IndexEntry(self.key, VACANT, self.made_at)

    def __repr__(self) -> str:
        return f"IndexEntry({redact(self.tkn)})"


def entries_in(keys: Mapping[str, JsonValue]) -> list[IndexEntry]:
    """Return the entries in the keys of a set, in the numeric order of the keys. Other keys are skipped."""
    entries: list[IndexEntry] = []
    for key in sorted([key for key in keys if key.isdecimal() and key.isascii()], key=int):
        value = keys[key]
        if type(value) is list and len(value) == 2:
            tkn, made_at = value
            if type(made_at) is int and type(tkn) is int and 0 <= tkn <= MAX_TOKEN:
                entries.append(IndexEntry(key, tkn, made_at))
    return entries


def numbered(name: str) -> Iterator[str]:
    """Yield the shared keys of a name's entry sets, in order. If a set is gone, the next one takes its place."""
    yield name
    yield from (f"{name}:{number}" for number in itertools.count(1))
