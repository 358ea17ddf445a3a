"""The memory that a store in memory takes, and the limits on it.

Memory is counted, not measured: that costs a few additions per change, and gives the same number on every machine. The
count covers the bytes of names and values, and the most that CPython needs around them: objects, allocation, growing
tables. For most data the process takes less memory than the count. For a session with very many keys, it takes up to a
fifth more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from ndb_models.json_text import ObjectText
from ndb_models.stores.contract import Limit, LimitError
from ndb_models.stores.kept_keys import Kept

# In bytes, for 64-bit CPython. A session has at most two entries in the agenda, at worst settings of its own, and its
# share of a table that is being copied into a larger one.
_SESSION: Final = 576
# A dict that is not empty, with its smallest table. The string and the bytes object of a key, without their content.
_DICT: Final = 208
_KEY: Final = 192
# Names that sessions share: the tuple and its row in the table of tuples; and each string in the tuple.
_KIND: Final = 320
_NAME: Final = 80
# If one character of a string takes four bytes, so do the others; its UTF-8 text takes one more for each.
_WIDEST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """The most that a store in memory may hold; None for no limit.

    `sessions` and `keys` (of one session) are numbers. `size` is in bytes of memory, counted as this module says.
    """

    sessions: int | None = None
    keys: int | None = None
    size: int | None = None


NO_LIMITS: Final = StoreLimits()

_ANY: Final = sys.maxsize

FreeExpired: TypeAlias = Callable[[], bool]
"""Frees some expired sessions, but never the session being changed; tells whether there may be more."""


class _Kind:
    """A tuple of names that several sessions have, kept once."""

    __slots__ = ("names", "sessions", "size")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names: tuple[str, ...] = names
        self.sessions: int = 0
        self.size: int = _KIND + _NAME * len(names) + _size_of_names(names)


class Occupancy:
    """The memory that a store takes, checked against its limits.

    A change is counted before it is made. If it would exceed a limit, it raises `LimitError` and is not counted.
    Expired sessions do not count: if there is no room, `free_expired` is called, and the limits are checked again.

    Attributes:
        size: the counted bytes.
    """

    def __init__(self, limits: StoreLimits) -> None:
        self.size: int = 0
        self._most = _ANY if limits.size is None else limits.size
        self._most_sessions = _ANY if limits.sessions is None else limits.sessions
        self._most_keys = _ANY if limits.keys is None else limits.keys
        self._sessions = 0
        # The part of the size that the shared keys take.
        self._shared = 0
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def begin(self, keys: Kept, free_expired: FreeExpired) -> None:
        """Count a new session."""
        self._sessions += 1
        self.size += _SESSION
        self._enter(keys)
        if self.size > self._most or self._sessions > self._most_sessions or len(keys) > self._most_keys:
            try:
                self._require_room(len(keys), free_expired)
            except LimitError:
                self.end(keys)
                raise

    def end(self, keys: Kept) -> None:
        """Stop counting a session and its keys."""
        self._sessions -= 1
        self.size -= _SESSION
        self._leave(keys)

    def end_all(self) -> None:
        """Stop counting all sessions; the shared keys remain."""
        self._sessions = 0
        self._kinds = {}
        self.size = self._shared

    def empty(self, keys: Kept) -> None:
        """Stop counting the keys that a session has lost."""
        self._leave(keys)

    def change(self, old: Kept, new: Kept, written: Mapping[str, bytes] | None, free_expired: FreeExpired) -> None:
        """Count a session's new keys instead of its old ones.

        `written` are the keys that were written over a dict, if there is no other difference. Then only they are
        looked at.
        """
        before, more = self.size, 0
        if type(new) is ObjectText and type(old) is ObjectText and new.names == old.names:
            new.share_names(old.names)
            self.size += len(new.text) - len(old.text)
        else:
            if len(new) > len(old):
                more = len(new)
            if written is None or not old or type(old) is ObjectText:
                self._leave(old)
                self._enter(new)
            else:
                self.size += _growth(old, written)
        if more > self._most_keys or self._most < self.size > before:
            try:
                self._require_room(more, free_expired)
            except LimitError:
                self._leave(new)
                self._enter(old)
                raise

    def write_shared(self, there: Mapping[str, bytes], written: Mapping[str, bytes], free_expired: FreeExpired) -> None:
        """Count shared keys that are added or written over existing ones."""
        growth = _growth(there, written)
        if growth:
            self._grow(growth, free_expired)

    def replace_shared(self, new: Mapping[str, bytes], free_expired: FreeExpired) -> None:
        """Count new shared keys instead of all the old ones."""
        self._grow(_size_of(new) - self._shared, free_expired)

    def remove_shared(self, removed: Mapping[str, bytes]) -> None:
        """Stop counting removed shared keys."""
        size = _size_of(removed)
        self.size -= size
        self._shared -= size

    def _grow(self, growth: int, free_expired: FreeExpired) -> None:
        self.size += growth
        if growth > 0:
            try:
                self._require_room(0, free_expired)
            except LimitError:
                self.size -= growth
                raise
        self._shared += growth

    def _enter(self, keys: Kept) -> None:
        if type(keys) is not ObjectText:
            self.size += _size_of_dict(keys)
            return
        names = keys.names
        kind = self._kinds.get(names)
        if kind is None:
            kind = self._kinds[names] = _Kind(names)
            self.size += kind.size
        elif kind.names is not names:
            keys.share_names(kind.names)
        kind.sessions += 1
        self.size += len(keys.text)

    def _leave(self, keys: Kept) -> None:
        if type(keys) is not ObjectText:
            self.size -= _size_of_dict(keys)
            return
        self.size -= len(keys.text)
        kind = self._kinds[keys.names]
        kind.sessions -= 1
        if not kind.sessions:
            self.size -= kind.size
            del self._kinds[keys.names]

    def _require_room(self, keys: int, free_expired: FreeExpired) -> None:
        """Free expired sessions until the limits allow the count, and so many keys in a session; else refuse."""
        may_free = True
        while self.size > self._most or self._sessions > self._most_sessions or keys > self._most_keys:
            if not may_free:
                raise LimitError(*self._exceeded(keys))
            may_free = free_expired()

    def _exceeded(self, keys: int) -> tuple[Limit, int]:
        """Return the first exceeded limit and its number."""
        if self._sessions > self._most_sessions:
            return Limit.SESSIONS, self._most_sessions
        if keys > self._most_keys:
            return Limit.KEYS, self._most_keys
        return Limit.BYTES, self._most


def _growth(there: Mapping[str, bytes], written: Mapping[str, bytes]) -> int:
    if written.keys() <= there.keys():
        return sum(map(len, written.values())) - sum(map(len, map(there.__getitem__, written)))
    replaced = {name: there[name] for name in there.keys() & written.keys()}
    return _size_of(written) - _size_of(replaced)


def _size_of_dict(keys: Mapping[str, bytes]) -> int:
    return _DICT + _size_of(keys) if keys else 0


def _size_of(keys: Mapping[str, bytes]) -> int:
    return _KEY * len(keys) + _size_of_names(keys) + sum(map(len, keys.values()))


def _size_of_names(names: Iterable[str]) -> int:
    text = "".join(names)
    return _WIDEST * (len(text) if text.isascii() else len(text.encode()))
