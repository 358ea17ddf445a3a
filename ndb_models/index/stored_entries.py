"""The form in which the index is stored: the names of entry sets, and the entries in a set. No I/O."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import is_token
from ndb_models.types import JsonValue, SessionToken, redact

VACANT: Final = 0
"""The token of an entry that stands for no session. No server gives it out."""


class IndexEntry(NamedTuple):
    """An index entry: its key, the session that it stands for, and the time it was made, in ms since 1970."""

    key: str
    tkn: SessionToken
    made_at: int

    @property
    def as_keys(self) -> ObjectText:
        """The entry as it is stored."""
        return ObjectText(b'{"%b":[%d,%d]}' % (self.key.encode(), self.tkn, self.made_at), (self.key,))

    def vacated(self) -> IndexEntry:
        """Return the entry without its session."""
        return self._replace(tkn=VACANT)

    def __repr__(self) -> str:
        return f"IndexEntry({redact(self.tkn)})"


def entries_in(keys: Mapping[str, JsonValue]) -> list[IndexEntry]:
    """Return the entries in the keys of a set, in the numeric order of the keys. Other keys are skipped."""
    entries: list[IndexEntry] = []
    for key, value in keys.items():
        if isinstance(value, list) and len(value) == 2 and key.isdecimal() and key.isascii():
            tkn, made_at = value
            if isinstance(tkn, int) and isinstance(made_at, int) and is_token(tkn):
                entries.append(IndexEntry(key, tkn, made_at))
    return sorted(entries, key=lambda entry: int(entry.key))


def numbered(name: str) -> Iterator[str]:
    """Yield the shared keys of a name's entry sets, in order. If a set is gone, the next one takes its place."""
    yield name
    yield from (f"{name}:{number}" for number in itertools.count(1))
