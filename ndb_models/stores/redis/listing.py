"""The order in which the sessions of a store are gone through, and the tokens in that order.

On a cluster the order is by slot, and within a slot by token. Neither ever changes, whichever node owns the slot. A
single server has no slots to ask for, and its order is by token: all tokens are read when a listing begins.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from ndb_models.errors import StoreUnreachableError
from ndb_models.stores.listing import TokenOrder
from ndb_models.stores.redis.driver import Driver, Node
from ndb_models.stores.redis.key_names import KeyNames
from ndb_models.stores.redis.lua import SHARED_CLOCK
from ndb_models.stores.redis.scripts import KEYS_IN_SLOTS
from ndb_models.stores.redis.slot_map import SLOTS
from ndb_models.turns import in_turns
from ndb_models.types import SessionToken

T = TypeVar("T")

# The tokens that are read at a time on a cluster, about.
_TOGETHER: Final = 4096
_SCANNED: Final = b"1000"
_SWEPT: Final = b"100"
# Seconds after its latest page in which a listing may go on without reading the tokens again.
_KEPT: Final = 60
_MOST_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the tokens of all sessions, in order.

    Attributes:
        number: a later reading has a higher number.
        start: the first slot of the part.
        tokens: the tokens. One may be there twice, one after the other.
        following: the first slot of the next part; None if there are no more.
    """

    number: int
    start: int
    tokens: Sequence[SessionToken]
    following: int | None


class SessionOrder:
    """Reads tokens in an order that never changes.

    Args:
        driver: the way to the servers.
        names: the names of the keys.
        is_cluster: True if the servers are a cluster.
    """

    def __init__(self, driver: Driver, names: KeyNames, *, is_cluster: bool) -> None:
        self._driver = driver
        self._names = names
        self._is_cluster = is_cluster
        self._number = 0
        # Parts that listings may go on with, by the last token that each has read.
        self._kept: dict[SessionToken, Part] = {}
        self._forgetting: asyncio.TimerHandle | None = None
        # Where a sweep goes on, by node.
        self._swept_to: dict[str, bytes] = {}

    async def all(self) -> AsyncIterator[list[SessionToken]]:
        """Yield the tokens of all sessions, each once, in lists of some thousand at the most."""
        slot: int | None = 0
        last: SessionToken | None = None
        while slot is not None:
            part = await self._read(slot)
            for start in range(0, len(part.tokens), _TOGETHER):
                tokens = [*dict.fromkeys(part.tokens[start : start + _TOGETHER])]
                yield tokens[1:] if tokens[0] == last else tokens
                last = tokens[-1]
            slot = part.following

    async def after(self, token: SessionToken | None, count: int) -> tuple[list[SessionToken], Part]:
        """Return the next tokens, at most `count`, and the part of the last. `keep` must follow if there is more."""
        part = None if token is None else self._kept.pop(token, None)
        part = part or await self._read(0 if token is None else self._names.slot(token))
        start = 0 if token is None else bisect_right(part.tokens, self._place(token), key=self._place)
        tokens = [*dict.fromkeys(part.tokens[start : start + count])]
        while len(tokens) < count and part.following is not None:
            part = await self._read(part.following)
            tokens += part.tokens[: count - len(tokens)]
        return tokens, part

    def keep(self, token: SessionToken, part: Part) -> None:
        """Keep a part for a listing that goes on after a token."""
        if self._is_cluster and part.start > self._names.slot(token):
            return
        known = self._kept.pop(token, None)
        self._kept[token] = part if known is None or known.number < part.number else known
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._forget_later()

    def _forget_later(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(_KEPT, self._kept.clear)

    def close(self) -> None:
        """Free the kept parts."""
        self._kept.clear()
        if self._forgetting is not None:
            self._forgetting.cancel()

    async def next_to_sweep(self) -> AsyncIterator[list[SessionToken]]:
        """Yield some tokens of each node: others each time, and all of them in the course of time."""
        for node in await self._driver.masters():
            cursor, tokens = await self._scanned(node, self._swept_to.get(node.name, b"0"), _SWEPT)
            self._swept_to[node.name] = cursor
            yield tokens

    def _place(self, token: SessionToken) -> tuple[int, int]:
        return (self._names.slot(token), token) if self._is_cluster else (0, token)

    async def _read(self, slot: int) -> Part:
        self._number += 1
        number = self._number
        if not self._is_cluster:
            return Part(number, 0, await self._all_of_one(), None)
        end, tokens = await self._of_masters(partial(self._from_slot, slot))
        return Part(number, slot, sorted(tokens, key=self._place), end if end < SLOTS else None)

    async def _of_masters(self, ask: Callable[[Sequence[Node]], Awaitable[T]]) -> T:
        """Return the answer of all masters. If they or their slots are others by then, they are asked again.

        Raises:
            StoreUnreachableError: a master does not answer in time, and none has taken its place.
        """
        nodes = await self._driver.masters(anew=True)
        while True:
            answer: T | StoreUnreachableError
            try:
                answer = await ask(nodes)
            except StoreUnreachableError as exc:
                answer = exc
            before, nodes = nodes, await self._driver.masters(anew=True)
            if {node.name: [*node.slots] for node in nodes} == {node.name: [*node.slots] for node in before}:
                if isinstance(answer, StoreUnreachableError):
                    raise answer
                return answer

    async def _all_of_one(self) -> array[int]:
        (node,) = await self._driver.masters()
        tokens = array("Q")
        cursor = b"0"
        while True:
            cursor, some = await self._scanned(node, cursor, _SCANNED)
            tokens.extend(some)
            if cursor == b"0":
                return await in_turns(TokenOrder().sorting(lambda: tokens))

    async def _scanned(self, node: Node, cursor: bytes, count: bytes) -> tuple[bytes, list[SessionToken]]:
        following, keys = await node.command(b"SCAN", cursor, b"MATCH", self._names.pattern, b"COUNT", count)
        return following, [token for token in map(self._names.token_in, keys) if token is not None]

    async def keys_on_servers(self) -> int:
        """Return the number of all keys on the servers, those of others too."""
        return await self._of_masters(_sizes)

    async def _from_slot(self, first: int, nodes: Sequence[Node]) -> tuple[int, set[SessionToken]]:
        """Return the tokens of some thousand sessions from a slot on, and the slot after the last of them.

        A slot that is moving has keys on two nodes. They go only from its owner to the other. The other is asked later,
        so that it has the keys that the owner has no longer.
        """
        end = min(first + max(1, _TOGETHER * SLOTS // max(_TOGETHER, await _sizes(nodes))), SLOTS)
        owned = {node: [*_within(node.slots, first, end - 1)] for node in nodes}
        tokens = await self._on_nodes(owned)
        tokens |= await self._on_nodes({node: _outside(runs, first, end - 1) for node, runs in owned.items()})
        return end, tokens

    async def _on_nodes(self, runs: Mapping[Node, Iterable[tuple[int, int]]]) -> set[SessionToken]:
        asking = [
            node.run(KEYS_IN_SLOTS, (SHARED_CLOCK, b"%d" % start, b"%d" % end, self._names.start))
            for node, its_own in runs.items()
            for start, end in its_own
        ]
        keys = [key for found in await asyncio.gather(*asking) for key in found]
        return {token for token in map(self._names.token_in, keys) if token is not None}


async def _sizes(nodes: Sequence[Node]) -> int:
    """Return the number of keys on some nodes."""
    return sum(await asyncio.gather(*(node.command(b"DBSIZE") for node in nodes)))


def _within(runs: Iterable[tuple[int, int]], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of slots, each with its last one, that lie from `first` to `last`."""
    for start, end in sorted(runs):
        if max(start, first) <= min(end, last):
            yield max(start, first), min(end, last)


def _outside(runs: Iterable[tuple[int, int]], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of all other slots from `first` to `last`."""
    for start, end in runs:
        if first < start:
            yield first, start - 1
        first = end + 1
    if first <= last:
        yield first, last
