"""How much memory a store in memory takes, and how much it may.

Memory is counted, not measured: it costs a few additions a change, and is the same on every machine. Counted are the
bytes of names and values, and what CPython needs around them at the most: objects, allocation, tables that grow. So the
process takes less than is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

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


class _Kind:
    """Names that several sessions have, kept once."""

    __slots__ = ("names", "sessions", "size")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.sessions = 0
        self.size = _KIND + _NAME * len(names) + _size_of_names(names)


class Occupancy:
    """What a store holds, in bytes of memory, against its limits.

    Attributes:
        limits: what it may hold.
        size: what it holds. Changes are counted before they are made: so it can be told whether there is room for them.
    """

    def __init__(self, limits: StoreLimits) -> None:
        self.limits = limits
        self.size = 0
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def begin(self, keys: Kept) -> None:
        """Count a new session."""
        self.size += _SESSION
        self._enter(keys)

    def end(self, keys: Kept) -> None:
        """Count a session no longer that has these keys."""
        self.size -= _SESSION
        self._leave(keys)

    def end_all(self, shared: Mapping[str, bytes]) -> None:
        """Count the shared keys alone."""
        self._kinds.clear()
        self.size = _size_of(shared)

    def replace(self, old: Kept, new: Kept) -> None:
        """Count keys instead of others. Calling it the other way round undoes that."""
        self._leave(old)
        self._enter(new)

    def replace_shared(self, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> int:
        """Count shared keys instead of others; return how much is counted more."""
        growth = _size_of(new) - _size_of(old)
        self.size += growth
        return growth

    def write(self, there: Mapping[str, bytes], written: Mapping[str, bytes]) -> int:
        """Count keys that are written over those that are there, in a dict; return how much is counted more."""
        growth = 0
        for name, value in written.items():
            old = there.get(name)
            growth += len(value) - len(old) if old is not None else _size_of_key(name, value)
        self.size += growth
        return growth

    def remove(self, keys: Mapping[str, bytes]) -> None:
        """Count no longer keys that go from a dict."""
        self.size -= _size_of(keys)

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

    def exceeded(self, *, sessions: int, keys: int) -> LimitError | None:
        """Return the limit that is exceeded where there are so many sessions, and so many keys in one of them."""
        limits = self.limits
        for limit, most, number in (
            (Limit.SESSIONS, limits.sessions, sessions),
            (Limit.KEYS, limits.keys, keys),
            (Limit.BYTES, limits.size, self.size),
        ):
            if most is not None and number > most:
                return LimitError(limit, most)
        return None


def _size_of_dict(keys: Mapping[str, bytes]) -> int:
    return _DICT + _size_of(keys) if keys else 0


def _size_of(keys: Mapping[str, bytes]) -> int:
    return _KEY * len(keys) + _size_of_names(keys) + sum(map(len, keys.values()))


def _size_of_key(name: str, value: bytes) -> int:
    return _KEY + _WIDEST * len(name.encode()) + len(value)


def _size_of_names(names: Iterable[str]) -> int:
    return _WIDEST * len("".join(names).encode())
