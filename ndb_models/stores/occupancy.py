"""How much memory a store in memory takes, and how much it may.

Memory is counted, not measured: it costs a few additions a change, and is the same on every machine. Counted are the
bytes of names and values, and what CPython needs around them at the most: objects, allocation, tables that grow. For
most data the process takes less than is counted; for one session of very many keys, up to a fifth more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from ndb_models.stores.contract import Limit, LimitError
from ndb_models.stores.kept_keys import Kept
from ndb_models.texts import ObjectText

# In bytes, for 64-bit CPython. A session has two entries in the agenda at the most, settings of its own at the worst,
# and its share of a table that is being copied into a larger one.
_SESSION: Final = 576
# A dict that is not empty, with its smallest table; a key with a string and bytes of its own, beyond what they hold.
_DICT: Final = 208
_KEY: Final = 192
# The names that sessions share: a tuple and its row in the table of them; a string of the tuple.
_KIND: Final = 320
_NAME: Final = 80
# A string with one character of four bytes takes four for each of the others, and one more for its UTF-8.
_WIDEST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """How much a store in memory may hold; None for any number.

    `sessions` and `keys` (of one session) are numbers, `size` is in bytes of memory: see this module.
    """

    sessions: int | None = None
    keys: int | None = None
    size: int | None = None


NO_LIMITS: Final = StoreLimits()

_ANY: Final = sys.maxsize

FreeExpired: TypeAlias = Callable[[], bool]
"""Frees sessions that have expired, but none that the change in question is about."""


class _Kind:
    """Names that several sessions have, kept once."""

    __slots__ = ("names", "sessions", "size")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.sessions = 0
        self.size = _KIND + _NAME * len(names) + _size_of_names(names)


class Occupancy:
    """What a store holds, in bytes of memory, against its limits.

    A change is counted before it is made. One that goes beyond a limit raises `LimitError`, and is not counted. What
    has expired does not count: where there is no room, `free_expired` is called, and then it is looked again.

    Attributes:
        size: what is held, in bytes.
    """

    def __init__(self, limits: StoreLimits) -> None:
        self.size = 0
        self._most = _ANY if limits.size is None else limits.size
        self._most_sessions = _ANY if limits.sessions is None else limits.sessions
        self._most_keys = _ANY if limits.keys is None else limits.keys
        self._sessions = 0
        # Of the size, what the shared keys take.
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
        """Count a session no longer that has these keys."""
        self._sessions -= 1
        self.size -= _SESSION
        self._leave(keys)

    def end_all(self) -> None:
        """Count the shared keys alone."""
        self._sessions = 0
        self._kinds = {}
        self.size = self._shared

    def empty(self, keys: Kept) -> None:
        """Count no longer the keys that a session has lost."""
        self._leave(keys)

    def change(self, old: Kept, new: Kept, written: Mapping[str, bytes] | None, free_expired: FreeExpired) -> None:
        """Count a session's new keys instead of its old ones.

        `written` are those that were written over a dict, if that is all the difference: no more is then looked at.
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
        """Count shared keys that are written over others."""
        growth = _growth(there, written)
        if growth:
            self._grow(growth, free_expired)

    def replace_shared(self, new: Mapping[str, bytes], free_expired: FreeExpired) -> None:
        """Count shared keys instead of all that there were."""
        self._grow(_size_of(new) - self._shared, free_expired)

    def remove_shared(self, removed: Mapping[str, bytes]) -> None:
        """Count shared keys no longer."""
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
        """Refuse what is counted now if it is too much, or so many keys in a session."""
        may_free = True
        while self.size > self._most or self._sessions > self._most_sessions or keys > self._most_keys:
            if not may_free:
                raise LimitError(*self._exceeded(keys))
            may_free = free_expired()

    def _exceeded(self, keys: int) -> tuple[Limit, int]:
        """Return the first limit that is exceeded."""
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
