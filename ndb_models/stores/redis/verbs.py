"""The verbs of the contract, each one script or one plain command on one slot of the servers.

Only the shared map may lie in several slots, if it has several buckets: then a verb is one step for each of them.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from ndb_models.errors import InvalidArgumentError
from ndb_models.expectations import NO_EXPECTATIONS, Expected, TextDigest, are_as_expected
from ndb_models.json_text import NO_MEMBERS, ObjectText
from ndb_models.raising import raise_without_context
from ndb_models.stores.contract import (
    NO_KEYS,
    NO_SWAPS,
    AwaitedVerbs,
    ExpirySettings,
    Limit,
    LimitError,
    Scope,
    SessionInfo,
    Swaps,
    TooLargeError,
    UnknownSessionError,
    Verbs,
)
from ndb_models.stores.redis import lua, scripts
from ndb_models.stores.redis.asked_names import asked_names, no_utf8, utf8
from ndb_models.stores.redis.driver import Driver
from ndb_models.stores.redis.key_names import KeyNames
from ndb_models.stores.redis.lua import STATE
from ndb_models.stores.redis.script import Script
from ndb_models.tokens import draw_token
from ndb_models.types import UNBOUNDED, Clock, SessionToken

T = TypeVar("T")

# A server takes 1,048,576 arguments at the most, and a key with its value is two.
_MOST_ARGUMENTS: Final = 1_000_000
# The sessions that one script looks at, and the scripts that run at a time for one verb.
_SESSIONS_TOGETHER: Final = 256
_SCRIPTS_TOGETHER: Final = 32


class RedisVerbs(AwaitedVerbs):
    """The verbs on maps and sessions.

    Args:
        driver: the way to the servers.
        names: the names of the keys.
        is_cluster: True if the servers are a cluster.
        clock: tells the time in seconds; None for the servers' own clocks.
    """

    def __init__(self, driver: Driver, names: KeyNames, *, is_cluster: bool, clock: Clock | None) -> None:
        self._driver = driver
        self._names = names
        self._is_cluster = is_cluster
        self._clock = clock
        # Names the runs of scripts, so that a second run is known as such.
        self._run_start = secrets.token_hex(8).encode()
        self._run_numbers = itertools.count()

    def read(self, work: Callable[[Verbs], T]) -> Awaitable[T]:
        # The methods of this class are those of `Verbs`, awaited; and the work is the call of one of them.
        call: Any = work
        awaited: Awaitable[T] = call(self)
        return awaited

    write = read

    def _time(self) -> bytes:
        return lua.SERVER_CLOCK if self._clock is None else repr(self._clock()).encode()

    async def _ask(
        self, script: Script, scope: Scope, key: bytes, args: Collection[bytes], *, once: bool = False
    ) -> Any:
        """Run a script on a map; return its answer. With `once`, a second run is known as such by the server.

        Raises:
            UnknownSessionError: the session does not exist.
            LimitError: there are too many arguments for a server.
        """
        if len(args) > _MOST_ARGUMENTS:
            raise LimitError(Limit.KEYS, _MOST_ARGUMENTS // 2)
        time = lua.SHARED_CLOCK if scope is None else self._time()
        note = b"%b:%b%x" % (key, self._run_start, next(self._run_numbers)) if once else None
        answer = await self._driver.run(script, key, (key,), (time, *args), note=note)
        if answer is None:
            raise UnknownSessionError
        return answer

    def _hashes(self, scope: Scope) -> Sequence[bytes]:
        """Return the keys of the hashes that make up a map."""
        return self._names.shared if scope is None else (self._names.session(scope),)

    def _by_hash(self, scope: Scope, names: Collection[str]) -> Collection[tuple[bytes, Collection[str]]]:
        """Group the names of keys by the hashes that hold them. Of no names, return one empty group."""
        if scope is not None:
            return ((self._names.session(scope), names),)
        hashes = self._names.shared
        if len(hashes) == 1:
            return ((hashes[0], names),)
        groups: dict[bytes, list[str]] = {}
        for name in names:
            groups.setdefault(self._names.bucket_of(name), []).append(name)
        return groups.items() or ((hashes[0], ()),)

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        written = _parted(keys)
        for key, names in self._by_hash(scope, written):
            await self._ask(scripts.SET, scope, key, _pairs(names, written))

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        written = _parted(keys)
        for key, names in self._by_hash(scope, written):
            await self._ask(scripts.ADD, scope, key, _pairs(names, written))

    async def get(self, scope: Scope, names: Iterable[str], most: int | None = None) -> ObjectText:
        return await self._values(scope, tuple(names), most, lua.GET_USE)

    async def peek(self, scope: Scope, names: Iterable[str], most: int | None = None) -> ObjectText:
        return await self._values(scope, tuple(names), most, lua.NO_USE)

    async def _values(self, scope: Scope, names: tuple[str, ...], most: int | None, use: bytes) -> ObjectText:
        asked, hashes = asked_names(names), self._hashes(scope)
        if len(hashes) == 1:
            return asked.object_of(await self._found(scope, hashes[0], asked.encoded, most, use))
        found: dict[str, bytes | None] = {}
        for key, group in self._by_hash(scope, asked.names):
            part = asked_names(tuple(group))
            found.update(zip(part.names, await self._found(scope, key, part.encoded, most, use), strict=True))
        return asked.object_of([found[name] for name in asked.names])

    async def _found(
        self, scope: Scope, key: bytes, names: Sequence[bytes], most: int | None, use: bytes
    ) -> list[bytes | None]:
        """Return the values of some fields of a hash.

        A script decides whether the session lives, extends it, and measures the values. Where none of this is to do,
        the server is asked for the values alone, which takes it a fraction of the time.
        """
        is_bounded = most is not None and most < UNBOUNDED
        is_decided = scope is None or (use == lua.NO_USE and self._clock is None)
        found: list[bytes | None]
        if is_decided and not is_bounded and len(names) < _MOST_ARGUMENTS:
            state, *found = await self._driver.command(b"HMGET", key, STATE, *names, slot_key=key, writes=False)
            if scope is None:
                return found
            if state is None:
                raise UnknownSessionError
            if lua.ends_by_server(state):
                return found
        limit = b"%d" % most if most is not None and is_bounded else b""
        answer = await self._ask(scripts.GET, scope, key, (use, limit, *names))
        if answer == 0:
            raise TooLargeError(most or 0)
        _, *found = answer
        return found

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for key in self._hashes(scope):
            found.update(keys_in(await self._ask(scripts.GET_ALL, scope, key, ()))[1])
        return found

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        for key, removed in self._by_hash(scope, tuple(names)):
            await self._ask(scripts.REMOVE, scope, key, utf8(removed))

    async def change(
        self,
        scope: Scope,
        keys: Mapping[str, bytes],
        removed: Iterable[str] = (),
        expected: Expected = NO_EXPECTATIONS,
    ) -> bool:
        written = _parted(keys)
        gone = [name for name in removed if name not in written]
        digests = {name: text for name, text in expected.items() if type(text) is TextDigest}
        if digests:  # servers have no such digests: the step compares the texts themselves
            texts = await self.peek(scope, digests)
            if not are_as_expected(texts, digests):
                return False
            expected = {**expected, **texts}
        groups = list(self._by_hash(scope, {**dict.fromkeys(gone), **dict.fromkeys(expected), **written}))
        if len(groups) > 1 and expected:
            raise InvalidArgumentError("keys in several buckets of the shared map cannot be compared in one step")
        for key, names in groups:
            compared = [name for name in names if name in expected]
            leaving = [name for name in gone if name in names] if len(groups) > 1 else gone
            writing = [name for name in names if name in written]
            args = (
                b"%d" % len(compared),
                b"%d" % len(leaving),
                *utf8(compared),
                *[expected[name] or b"" for name in compared],
                *utf8(leaving),
                *_pairs(writing, written),
            )
            if not await self._ask(scripts.CHANGE, scope, key, args, once=bool(compared)):
                return False
        return True

    async def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        written = _parted(keys)
        groups = dict(self._by_hash(scope, written))
        removed = 0
        for key in self._hashes(scope):
            pairs = _pairs(groups.get(key, ()), written)
            removed += int(await self._ask(scripts.REPLACE, scope, key, pairs, once=True))
        return removed

    async def count(self, scope: Scope) -> int:
        return sum([int(await self._ask(scripts.COUNT, scope, key, ())) for key in self._hashes(scope)])

    async def names(self, scope: Scope, most: int | None = None) -> list[str]:
        limit = b"" if most is None else b"%d" % most
        found: list[str] = []
        for key in self._hashes(scope):
            answer = await self._ask(scripts.NAMES, scope, key, (limit,))
            found += [name.decode() for name in answer if name != STATE]
        return found[:most]

    async def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        asked = list(names)
        there: set[str] = set()
        for key, group in self._by_hash(scope, asked):
            answer = await self._ask(scripts.CONTAINS, scope, key, utf8(group))
            there.update(itertools.compress(group, answer))
        return [name for name in asked if name in there]

    async def new(self, expiry: ExpirySettings) -> SessionToken:
        """See `Verbs.new`."""
        while not await self.create(token := draw_token(), expiry):
            pass
        return token

    async def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        written = _parted(keys)
        args = (lua.packed(expiry), *_pairs(written, written))
        return bool(await self._ask(scripts.CREATE, token, self._names.session(token), args, once=True))

    async def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        values = itertools.chain.from_iterable(swaps.values())
        args = (lua.packed(expiry), b"%d" % restart, b"%d" % len(swaps), *utf8(swaps), *values)
        return bool(await self._ask(scripts.EXPIRE, token, self._names.session(token), args))

    async def end(self, token: SessionToken) -> bool:
        return bool(await self._ask(scripts.END, token, self._names.session(token), (), once=True))

    async def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        asked = list(tokens)
        return list(itertools.compress(asked, await self.of_each(scripts.EXIST, asked)))

    async def info(self, token: SessionToken) -> SessionInfo:
        packed, count = await self._ask(scripts.INFO, token, self._names.session(token), ())
        expiry, (due, now) = lua.settings_of(packed), lua.times_of(packed)
        return SessionInfo(count, expiry, due - now if expiry.duration else None)

    async def of_each(self, script: Script, tokens: Sequence[SessionToken], *args: bytes) -> list[Any]:
        """Run a script of several sessions; return its outcome for each. Each session is looked at in one step."""
        outcomes: list[Any] = [None] * len(tokens)
        room = asyncio.Semaphore(_SCRIPTS_TOGETHER)

        async def run(group: Sequence[int]) -> None:
            keys = [self._names.session(tokens[index]) for index in group]
            async with room:
                found = await self._driver.run_each(script, keys, (self._time(), *args))
            for index, outcome in zip(group, found, strict=True):
                outcomes[index] = outcome

        groups = self._in_one_slot(tokens)
        await asyncio.gather(*map(run, groups))
        return outcomes

    def _in_one_slot(self, tokens: Sequence[SessionToken]) -> Iterator[Sequence[int]]:
        """Yield the places of the tokens, in groups that one script can look at."""
        if self._is_cluster:
            slots: dict[int, list[int]] = {}
            for index, token in enumerate(tokens):
                slots.setdefault(self._names.slot(token), []).append(index)
            groups: Iterable[Sequence[int]] = slots.values()
        else:
            groups = (range(len(tokens)),)
        for group in groups:
            for start in range(0, len(group), _SESSIONS_TOGETHER):
                yield group[start : start + _SESSIONS_TOGETHER]


def keys_in(answer: Sequence[bytes]) -> tuple[bytes, dict[str, bytes]]:
    """Return a session's state, and its keys, from all names and values of its hash. The shared map has no state."""
    fields = dict(zip(answer[::2], answer[1::2], strict=True))
    state = fields.pop(STATE, b"")
    return state, {name.decode(): value for name, value in fields.items()}


def _parted(keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
    if type(keys) is ObjectText:
        return keys.split() if keys.text != NO_MEMBERS else {}
    return keys


def _pairs(names: Iterable[str], keys: Mapping[str, bytes]) -> list[bytes]:
    """Return names and values, one after the other. Raises as `utf8`."""
    pairs: list[bytes] = []
    try:
        for name in names:
            pairs += (name.encode(), keys[name])
    except UnicodeEncodeError:
        raise_without_context(no_utf8())
    return pairs
