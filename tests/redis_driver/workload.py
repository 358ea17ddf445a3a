"""Tasks that save, change and read on a cluster without end, and check every answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from secrets import token_hex

from ndb_models.errors import UnavailableError
from ndb_models.stores.redis.driver import Driver
from ndb_models.stores.redis.slot_map import slot_of
from tests.redis_driver.scripts import ADD_ONCE, ECHO, GET, SET

TASKS = 20
COUNTERS = 6
PAUSE = 0.002


class Workload:
    """Twenty tasks. Each has a key of its own, and all share some counters.

    Attributes:
        operations: how many were answered.
        longest: the seconds that the longest one took.
        errors: what callers got.
        wrong: answers that cannot be.
        lost: keys that went back behind an acknowledged write.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._prefix = token_hex(6).encode()
        self._stopping = False
        self._added: Counter[int] = Counter()
        self._maybe_added: Counter[int] = Counter()
        self._saved: dict[int, int] = {}
        self.operations: int = 0
        self.longest: float = 0.0
        self.errors: list[UnavailableError] = []
        self.wrong: list[str] = []
        self.lost: list[str] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Workload]:
        """Run the tasks, and check what is stored at the end."""
        tasks = [asyncio.create_task(self._run(number)) for number in range(TASKS)]
        try:
            await asyncio.sleep(0.3)
            yield self
        finally:
            self._stopping = True
            await asyncio.gather(*tasks)
        await self._check_all()

    def _key(self, name: str, number: int) -> bytes:
        return b"%b:{%b%d}" % (self._prefix, name.encode(), number)

    def slots(self) -> set[int]:
        """Return the slots of all its keys."""
        keys = [self._key(name, number) for name in ("key", "counter", "echo") for number in range(TASKS)]
        return {*map(slot_of, keys)}

    async def _run(self, number: int) -> None:
        chance = Random(number)
        turn = 0
        while not self._stopping:
            turn += 1
            step = (self._save, self._add, self._read, self._echo)[chance.randrange(4)]
            started = time.monotonic()
            try:
                await step(number, turn)
                self.operations += 1
            except UnavailableError as exc:
                self.errors.append(exc)
            self.longest = max(self.longest, time.monotonic() - started)
            await asyncio.sleep(PAUSE)

    async def _save(self, number: int, turn: int) -> None:
        key = self._key("key", number)
        await self._driver.run(SET, key, [key], [b"%d" % turn])
        self._saved[number] = turn

    async def _add(self, number: int, turn: int) -> None:
        counter = (number + turn) % COUNTERS
        key = self._key("counter", counter)
        try:
            await self._driver.run(ADD_ONCE, key, [key, b"%b:%d:%d" % (key, number, turn)], [b"1"])
        except UnavailableError:
            self._maybe_added[counter] += 1
            raise
        self._added[counter] += 1

    async def _read(self, number: int, turn: int) -> None:
        key = self._key("key", number)
        found = int(await self._driver.run(GET, key, [key], []) or 0)
        if found > turn:
            self.wrong.append(f"task {number} read {found} before it was written")
        if found < self._saved.get(number, 0):
            self.lost.append(f"task {number} read {found} after it had saved {self._saved[number]}")
            self._saved[number] = found

    async def _echo(self, number: int, turn: int) -> None:
        text = b"%d of %d" % (turn, number)
        reply = await self._driver.run(ECHO, self._key("echo", turn % TASKS), [], [text])
        if reply != text:
            self.wrong.append(f"task {number} got {reply!r} for {text!r}")

    async def _check_all(self) -> None:
        for number in range(TASKS):
            await self._read(number, 1 << 60)
        for counter in range(COUNTERS):
            key = self._key("counter", counter)
            found = int(await self._driver.run(GET, key, [key], []) or 0)
            if found > self._added[counter] + self._maybe_added[counter]:
                self.wrong.append(f"counter {counter} counted twice")
            if found < self._added[counter]:
                self.lost.append(f"counter {counter} lost {self._added[counter] - found}")
