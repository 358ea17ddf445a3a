"""The store in memory with limits: what is beyond them is refused, and changes nothing.

Bytes are those of the names and values that are stored, counted exactly; what Python needs around them comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from ndb_models.stores.contract import NO_KEYS, ExpirySettings, Limit, LimitError, Scope, Statistics, Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.texts import ObjectText
from ndb_models.types import Clock, SessionToken

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """How much a store may hold; None for no limit.

    Args:
        sessions: how many sessions.
        keys: how many keys in each session; the map that all share may have any number.
        size: how many bytes of names and values, in all sessions and the shared map together.
    """

    sessions: int | None = None
    keys: int | None = None
    size: int | None = None


class _Growth(NamedTuple):
    """What a verb is about to do: by how much the bytes grow, and how many there will be then of what is growing."""

    size: int = 0
    sessions: int = 0
    keys: int = 0


_NOTHING = _Growth()


class BoundedMemoryStore(MemoryStore, Store):
    """Keeps everything in this process, and no more than `limits` allow.

    A verb that would go beyond them raises `LimitError`. What has expired does not count: it is freed first.
    """

    def __init__(self, limits: StoreLimits, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=self._now)
        self._limits = limits
        self._time = clock
        # While a verb is carried out time stands still: what was weighed is what is changed.
        self._moment: float | None = None
        # Of all names and values that are kept, which includes what has expired and was not freed yet.
        self._size = 0

    def _now(self) -> float:
        return self._time() if self._moment is None else self._moment

    def _note_expired(self, keys: Mapping[str, bytes]) -> None:
        super()._note_expired(keys)
        self._size -= _weight(keys)

    async def _carry_out(self, weigh: Callable[[], _Growth], verb: Callable[[], Awaitable[_T]]) -> _T:
        self._moment = self._time()
        try:
            growth = weigh()
            if self._exceeded_by(growth) is not None:
                self._sweep(None)
                growth = weigh()
                exceeded = self._exceeded_by(growth)
                if exceeded is not None:
                    raise exceeded
            done = await verb()
            self._size += growth.size
            return done
        finally:
            self._moment = None

    def _exceeded_by(self, growth: _Growth) -> LimitError | None:
        limits = self._limits
        for limit, most, value in (
            (Limit.SESSIONS, limits.sessions, growth.sessions),
            (Limit.KEYS, limits.keys, growth.keys),
            (Limit.BYTES, limits.size, self._size + growth.size if growth.size > 0 else 0),
        ):
            if most is not None and value > most:
                return LimitError(limit, most)
        return None

    def _set_growth(self, scope: Scope, keys: Mapping[str, bytes]) -> _Growth:
        there = self._keys(scope)
        size = added = 0
        for name, value in _members(keys).items():
            old = there.get(name)
            if old is None:
                added += 1
                size += _length(name) + len(value)
            else:
                size += len(value) - len(old)
        return _Growth(size, keys=len(there) + added if added and scope is not None else 0)

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        verb = super().set
        await self._carry_out(lambda: self._set_growth(scope, keys), lambda: verb(scope, keys))

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        verb = super().add

        def weigh() -> _Growth:
            there = self._keys(scope)
            return self._set_growth(scope, {name: text for name, text in _members(keys).items() if name not in there})

        await self._carry_out(weigh, lambda: verb(scope, keys))

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        verb = super().remove
        removed = frozenset(names)

        def weigh() -> _Growth:
            there = self._keys(scope)
            return _Growth(-_weight({name: there[name] for name in removed if name in there}))

        await self._carry_out(weigh, lambda: verb(scope, removed))

    async def swap(self, scope: Scope, name: str, old: bytes, new: bytes) -> bool:
        verb = super().swap

        def weigh() -> _Growth:
            return _Growth(len(new) - len(old)) if self._keys(scope).get(name) == old else _NOTHING

        return await self._carry_out(weigh, lambda: verb(scope, name, old, new))

    async def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        verb = super().replace

        def weigh() -> _Growth:
            growth = _weight(keys) - _weight(self._keys(scope))
            return _Growth(growth, keys=len(keys) if scope is not None else 0)

        return await self._carry_out(weigh, lambda: verb(scope, keys))

    async def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        verb = super().create

        def weigh() -> _Growth:
            if self._live(token) is not None:
                return _NOTHING
            return _Growth(_weight(keys), sessions=len(self._sessions) + 1, keys=len(keys))

        return await self._carry_out(weigh, lambda: verb(token, expiry, keys))

    async def end(self, token: SessionToken) -> bool:
        verb = super().end

        def weigh() -> _Growth:
            session = self._live(token)
            return _NOTHING if session is None else _Growth(-_weight(session.keys))

        return await self._carry_out(weigh, lambda: verb(token))

    async def end_all(self) -> int:
        ended = await super().end_all()
        self._size = _weight(self._shared)
        return ended

    async def statistics(self) -> Statistics:
        return (await super().statistics())._replace(size=self._size)


def _members(keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return keys to look at, without making a text that is kept hold its members too."""
    return keys.split() if isinstance(keys, ObjectText) else keys


def _weight(keys: Mapping[str, bytes]) -> int:
    members = _members(keys)
    return sum(map(_length, members)) + sum(map(len, members.values()))


def _length(name: str) -> int:
    return len(name) if name.isascii() else len(name.encode())
