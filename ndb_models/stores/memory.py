"""The store in memory: dictionaries, and a heap of the times when sessions expire.

Each verb is one step, so that it is atomic among the tasks of one event loop. Work on all sessions is done in short
turns, between which the loop runs other tasks. Threads share a `SharedMemoryStore`.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from ndb_models.clocks import monotonic_clock
from ndb_models.stores.contract import SessionPage, SessionRecord, Statistics, Store, Verbs
from ndb_models.stores.expiry import expiry_state
from ndb_models.stores.freeing import freeing
from ndb_models.stores.handing_over import hand_over
from ndb_models.stores.listing import TokenOrder, reading_page
from ndb_models.stores.memory_verbs import MemoryVerbs
from ndb_models.stores.moment import next_batch
from ndb_models.stores.occupancy import NO_LIMITS, StoreLimits
from ndb_models.stores.session_table import StoredSession
from ndb_models.turns import Turns, Work, in_turns
from ndb_models.types import Clock, SessionToken
from ndb_models.uncopyable import Uncopyable

T = TypeVar("T")


class MemoryStore(Uncopyable, Store):
    """Keeps all data in this process, and no more than `limits` allow.

    A verb that would exceed a limit raises `LimitError`. Expired sessions do not count: they are freed first. `clock`
    tells the time in seconds; only differences matter.
    """

    # Held during each turn, and while sessions are read or changed outside of a turn.
    _guard: AbstractContextManager[Any] = contextlib.nullcontext()

    def __init__(self, limits: StoreLimits = NO_LIMITS, *, clock: Clock = monotonic_clock) -> None:
        self._table: MemoryVerbs = MemoryVerbs(limits, clock)
        self.verbs: Verbs | None = self._table
        self._order = TokenOrder()

    @property
    def expired(self) -> int:
        return self._table.expired

    async def read(self, work: Callable[[Verbs], T]) -> T:
        return work(self._table)

    async def write(self, work: Callable[[Verbs], T]) -> T:
        return work(self._table)

    async def end_all(self) -> int:
        table = self._table
        with self._guard:
            now = table.now()
            sessions, agendas = table.take_all()
            self._order.drop()
        ended = 0

        def take_leave(item: tuple[SessionToken, StoredSession]) -> None:
            nonlocal ended
            _, session = item
            state = expiry_state(session.expiry, session.deadline, now)
            table.expired += state is None or state.emptied
            ended += state is not None

        turns = Turns()
        if table.is_read(sessions):  # the last reader frees them
            await turns.do(_each(sessions, take_leave))
        else:
            await turns.do(freeing(sessions, take_leave))
        for agenda in agendas:
            await turns.do(freeing(agenda))
        return ended

    async def totals(self) -> tuple[int, int]:
        def count() -> Work[tuple[int, int]]:
            sessions = keys = 0
            for batch in moment.batches():
                if batch is not None:
                    sessions += len(batch)
                    keys += sum([len(record.keys) for record in batch])
                yield
            return sessions, keys

        turns = Turns(guard=self._guard)
        await turns.do(self._table.sweeping())
        async with self._table.reading(self._guard) as moment:
            return await turns.do(count())

    async def statistics(self) -> Statistics:
        sessions, keys = await self.totals()
        return Statistics(sessions, keys, self.expired, self._table.size)

    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        turns = Turns(guard=self._guard)
        records: list[SessionRecord] = []
        async with self._table.reading(self._guard, tokens) as moment:
            batches = moment.batches()
            while batch := await turns.do(next_batch(batches)):
                records += batch
        return records

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        async with self._table.reading(self._guard, tokens) as moment:
            batches, turns = moment.batches(), Turns(guard=self._guard)
            return await hand_over(lambda: turns.do(next_batch(batches)), consume)

    async def page(self, name: str, after: SessionToken | None, count: int, most: int) -> SessionPage:
        turns, order = Turns(guard=self._guard), self._order
        order.note_use(self._table.now())
        ordered = order.tokens
        if after is None or ordered is None:
            ordered = await turns.do(order.sorting(self._table.tokens))
        start = 0 if after is None else bisect_right(ordered, after)
        page = await turns.do(reading_page(self._table, ordered[start : start + count], name, most))
        if page.last is None or page.last == ordered[-1]:
            page.last = None
            order.drop()
        return page

    async def sweep(self) -> None:
        self._order.drop_unused(self._table.now())
        await in_turns(self._table.sweeping(), self._guard)

    async def aclose(self) -> None:
        """Keep the data: a store in memory has no files or connections to close."""


def _each(sessions: Mapping[SessionToken, StoredSession], take: Callable[[Any], None]) -> Work[None]:
    for item in sessions.items():
        take(item)
        yield
