"""Tasks that save, change and read on a cluster without end, and check every answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from secrets import token_hex
from typing import Annotated

from ndb_models import Merge, NdbClient, Repository, SessionModel
from ndb_models.errors import NdbError, SessionGoneError
from ndb_models.stores.redis.driver import Driver
from ndb_models.stores.redis.slot_map import slot_of
from tests.redis_driver.conftest import opened
from tests.redis_driver.scripts import ADD_ONCE, ECHO, GET, SET

TASKS = 20
COUNTERS = 6
PAUSE = 0.002


class Workload(ABC):
    """Twenty tasks. Each saves a number of its own, and all add to shared counters.

    Attributes:
        operations: how many were answered.
        longest: the seconds that the longest one took.
        errors: what callers got.
        wrong: answers that cannot be.
        lost: numbers that went back behind an acknowledged write.
    """

    def __init__(self) -> None:
        self._stopping = False
        self._added: Counter[int] = Counter()
        self._maybe_added: Counter[int] = Counter()
        self._saved: dict[int, int] = {}
        self.operations: int = 0
        self.longest: float = 0.0
        self.errors: list[NdbError] = []
        self.wrong: list[str] = []
        self.lost: list[str] = []

    async def has_done(self, operations: int) -> None:
        """Wait until more operations than these were answered."""
        while self.operations <= operations:  # noqa: ASYNC110 - the tasks count, and tell nobody
            await asyncio.sleep(PAUSE)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Workload]:
        """Run the tasks, and check what is stored at the end."""
        await self.prepare()
        tasks = [asyncio.create_task(self._run(number)) for number in range(TASKS)]
        try:
            await asyncio.sleep(0.3)
            yield self
        finally:
            self._stopping = True
            await asyncio.gather(*tasks)
        for number in range(TASKS):
            await self._read(number, 1 << 60)
        for counter in range(COUNTERS):
            self._check_counter(counter, await self.counted(counter))

    def _check_counter(self, counter: int, found: int) -> None:
        if found > self._added[counter] + self._maybe_added[counter]:
            self.wrong.append(f"counter {counter} counted twice")
        if found < self._added[counter]:
            self.lost.append(f"counter {counter} lost {self._added[counter] - found}")

    async def _run(self, number: int) -> None:
        chance = Random(number)
        turn = 0
        while not self._stopping:
            turn += 1
            step = (self._save, self._add, self._read, self._ask)[chance.randrange(4)]
            started = time.monotonic()
            try:
                await step(number, turn)
                self.operations += 1
            except NdbError as exc:
                self.errors.append(exc)
            self.longest = max(self.longest, time.monotonic() - started)
            await asyncio.sleep(PAUSE)

    async def _save(self, number: int, turn: int) -> None:
        await self.save(number, turn)
        self._saved[number] = turn

    async def _add(self, number: int, turn: int) -> None:
        counter = (number + turn) % COUNTERS
        try:
            await self.add(counter, b"%d:%d" % (number, turn))
        except NdbError:
            self._maybe_added[counter] += 1
            raise
        self._added[counter] += 1

    async def _read(self, number: int, turn: int) -> None:
        found = await self.read(number)
        if found > turn:
            self.wrong.append(f"task {number} read {found} before it was written")
        if found < self._saved.get(number, 0):
            self.lost.append(f"task {number} read {found} after it had saved {self._saved[number]}")
            self._saved[number] = found

    async def _ask(self, number: int, turn: int) -> None:
        if not await self.ask(number, turn):
            self.wrong.append(f"task {number} got the answer of another request")

    @abstractmethod
    async def prepare(self) -> None:
        """Store what has to be there."""

    @abstractmethod
    async def save(self, number: int, value: int) -> None:
        """Save a task's number."""

    @abstractmethod
    async def read(self, number: int) -> int:
        """Return a task's number, 0 before it was saved."""

    @abstractmethod
    async def add(self, counter: int, name: bytes) -> None:
        """Add 1 to a counter. The name is this addition's own."""

    @abstractmethod
    async def counted(self, counter: int) -> int:
        """Return a counter."""

    @abstractmethod
    async def ask(self, number: int, turn: int) -> bool:
        """Ask something, and tell whether the answer is right."""


class Scripts(Workload):
    """Runs scripts on the driver."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver
        self._prefix = token_hex(6).encode()

    async def prepare(self) -> None:
        pass

    def _key(self, name: str, number: int) -> bytes:
        return b"%b:{%b%d}" % (self._prefix, name.encode(), number)

    def slots(self) -> set[int]:
        """Return the slots of all its keys."""
        keys = [self._key(name, number) for name in ("key", "counter", "echo") for number in range(TASKS)]
        return {*map(slot_of, keys)}

    async def save(self, number: int, value: int) -> None:
        key = self._key("key", number)
        await self._driver.run(SET, key, [key], [b"%d" % value])

    async def read(self, number: int) -> int:
        key = self._key("key", number)
        return int(await self._driver.run(GET, key, [key], []) or 0)

    async def add(self, counter: int, name: bytes) -> None:
        key = self._key("counter", counter)
        await self._driver.run(ADD_ONCE, key, [key, b"%b:%b" % (key, name)], [b"1"])

    async def counted(self, counter: int) -> int:
        key = self._key("counter", counter)
        return int(await self._driver.run(GET, key, [key], []) or 0)

    async def ask(self, number: int, turn: int) -> bool:
        text = b"%d of %d" % (turn, number)
        reply: bytes = await self._driver.run(ECHO, self._key("echo", turn % TASKS), [], [text])
        return reply == text


class Load(SessionModel, schema="FailoverLoad"):
    owner: int
    saved: int = 0
    visits: Annotated[int, Merge.add] = 0


class Sessions(Workload):
    """Saves, edits and reads typed sessions."""

    def __init__(self, client: NdbClient) -> None:
        super().__init__()
        self._repo = Repository(client, Load)
        self._own: list[Load] = []
        self._shared: list[Load] = []

    async def prepare(self) -> None:
        self._own = [await self._repo.save(Load(owner=number)) for number in range(TASKS)]
        self._shared = [await self._repo.save(Load(owner=-1)) for _ in range(COUNTERS)]

    async def save(self, number: int, value: int) -> None:
        self._own[number].saved = value
        await self._repo.save(self._own[number])

    async def read(self, number: int) -> int:
        try:
            session = await self._repo.get(self._own[number].tkn)
        except SessionGoneError:
            self.lost.append(f"the session of task {number}")
            return self._saved.get(number, 0)
        if session.owner != number:
            self.wrong.append(f"task {number} got the session of {session.owner}")
        return session.saved

    async def add(self, counter: int, name: bytes) -> None:
        async with self._repo.edit(self._shared[counter].tkn) as session:
            session.visits += 1

    async def counted(self, counter: int) -> int:
        return (await self._repo.get(self._shared[counter].tkn)).visits

    async def ask(self, number: int, turn: int) -> bool:
        made = await self._repo.save(Load(owner=number, saved=turn))
        try:
            return await self._repo.get(made.tkn) == made
        except SessionGoneError:
            self.lost.append(f"the session that task {number} made in turn {turn}")
            return True


@contextlib.asynccontextmanager
async def workload(kind: str, uri: str) -> AsyncIterator[Workload]:
    """Run a kind of workload on the servers of a URI, "scripts" or "sessions"."""
    if kind == "scripts":
        async with opened(uri) as driver, Scripts(driver).running() as load:
            yield load
    else:
        async with NdbClient.connect(uri) as client, Sessions(client).running() as load:
            yield load
