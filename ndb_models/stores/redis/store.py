"""The store on a Redis or Valkey.

Each verb is one step. A visit to all sessions is not: it reads each session in one step, at some moment between its
beginning and its end. A session that lives all the time is read once.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from ndb_models.clocks import monotonic_clock
from ndb_models.stores.contract import SessionPage, SessionRecord, Statistics, Store
from ndb_models.stores.handing_over import hand_over
from ndb_models.stores.redis import lua, scripts
from ndb_models.stores.redis.asked_names import utf8
from ndb_models.stores.redis.driver import Driver
from ndb_models.stores.redis.key_names import KeyNames
from ndb_models.stores.redis.listing import SessionOrder
from ndb_models.stores.redis.options import RedisUri
from ndb_models.stores.redis.verbs import RedisVerbs, keys_in
from ndb_models.types import Clock, SessionToken
from ndb_models.uncopyable import Uncopyable

T = TypeVar("T")

_READ_TOGETHER: Final = 256
# Counting takes at most one part in so many of the time.
_COUNTING: Final = 20


class RedisStore(Uncopyable, RedisVerbs, Store):
    """Keeps all data on a Redis or Valkey: `async with RedisStore(uri) as store`, or `open` and `aclose`.

    Tasks of the event loop that opened it may use it. Any number of processes may use the same servers, also with the
    same prefix: they share the sessions. A verb that fails raises a `StoreError`.

    Args:
        uri: the servers and the options. See `parse_redis_uri`.
        clock: tells the time in seconds; None, the default, for the servers' own clocks, which all processes share.
            All stores that share sessions must go by the same clock.
    """

    INSTEAD = "open a store where it is needed"

    def __init__(self, uri: RedisUri, *, clock: Clock | None = None) -> None:
        names = KeyNames(uri.options.prefix, uri.options.shared_buckets)
        driver = Driver(uri)
        super().__init__(driver, names, is_cluster=uri.is_cluster, clock=clock)
        self._order = SessionOrder(driver, names, is_cluster=uri.is_cluster)
        self._shown = uri.shown
        self._is_open = False
        self._counted: Statistics | None = None
        self._count_again_at = 0.0

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreError: that is not possible; the message says why.
        """
        self._is_open = True
        try:
            await self._driver.open()
        except BaseException:
            await self.aclose()
            raise

    async def __aenter__(self) -> RedisStore:
        await self.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "_is_open", False):
            self.leave()
            warn(f"unclosed RedisStore on {self._shown}", ResourceWarning, source=self)

    async def aclose(self) -> None:
        self._is_open = False
        self._order.close()
        await self._driver.aclose()

    def leave(self) -> bool:
        """Close without waiting for it. Return False if it was not open."""
        was_open, self._is_open = self._is_open, False
        self._driver.leave()
        return was_open

    async def check(self) -> None:
        key = self._names.shared[0]
        await self._driver.run(scripts.CHECK, key, (key + b":check",), (lua.SHARED_CLOCK,))
        for node in await self._driver.masters():
            await node.command(b"PING")

    async def end_all(self) -> int:
        ended = 0
        async for tokens in self._order.all():
            ended += sum(await self.of_each(scripts.END_EACH, tokens))
        return ended

    async def totals(self) -> tuple[int, int]:
        sessions = keys = 0
        async for tokens in self._order.all():
            counts = [count for count in await self.of_each(scripts.COUNT_EACH, tokens) if count >= 0]
            sessions += len(counts)
            keys += sum(counts)
        return sessions, keys

    async def statistics(self) -> Statistics:
        started = monotonic_clock()
        if self._counted is None or started >= self._count_again_at:
            self._counted = Statistics(*await self.totals())
            ended = monotonic_clock()
            self._count_again_at = ended + _COUNTING * (ended - started)
        return self._counted

    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        return [record async for batch in self.records(tokens) for record in batch]

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        batches = self.records(tokens)

        def following() -> Awaitable[list[SessionRecord] | None]:
            return anext(batches, None)

        return await hand_over(following, consume)

    async def records(self, tokens: Sequence[SessionToken] | None = None) -> AsyncIterator[list[SessionRecord]]:
        """Yield the sessions of `export`, in batches that are not empty, while they are read."""
        async for some in self._order.all() if tokens is None else _once([*dict.fromkeys(tokens)]):
            for start in range(0, len(some), _READ_TOGETHER):
                asked = some[start : start + _READ_TOGETHER]
                found = await self.of_each(scripts.RECORD_OF_EACH, asked)
                batch = [_record(token, answer) for token, answer in zip(asked, found, strict=True) if answer]
                if batch:
                    yield batch

    def listed_tokens(self) -> AsyncIterator[list[SessionToken]]:
        """Yield the tokens of all sessions, each once, in parts."""
        return self._order.all()

    async def most_sessions(self) -> int:
        """Return an upper bound on the number of sessions: the number of all keys on the servers."""
        return await self._order.keys_on_servers()

    async def page(self, name: str, after: SessionToken | None, count: int, most: int) -> SessionPage:
        tokens, part = await self._order.after(after, count)
        page = SessionPage({}, None)
        size = 0
        for start in range(0, len(tokens), _READ_TOGETHER):
            asked = tokens[start : start + _READ_TOGETHER]
            for token, value in zip(
                asked, await self.of_each(scripts.VALUE_OF_EACH, asked, *utf8([name])), strict=True
            ):
                size += len(value or b"")
                if value is not None and size > most and page.values:
                    assert page.last is not None
                    self._order.keep(page.last, part)
                    return page
                if value is not None:
                    page.values[token] = value
                page.last = token
        if page.last is None or (part.following is None and (not part.tokens or page.last == part.tokens[-1])):
            page.last = None
        else:
            self._order.keep(page.last, part)
        return page

    async def sweep(self) -> None:
        """Free the keys of some sessions that have been emptied. The servers free sessions that have ended."""
        async for tokens in self._order.next_to_sweep():
            if tokens:
                await self.of_each(scripts.EXIST, tokens)


async def _once(tokens: list[SessionToken]) -> AsyncIterator[list[SessionToken]]:
    yield tokens


def _record(token: SessionToken, answer: Sequence[bytes]) -> SessionRecord:
    state, keys = keys_in(answer)
    return SessionRecord(token, lua.settings_of(state), keys)
