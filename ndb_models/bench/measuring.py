"""Create, read, change and end sessions as fast as a store allows, and measure it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final

from ndb_models.bench.latencies import PERCENTILES, Latencies, Measured
from ndb_models.client import NdbClient
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.repository import Repository
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.model import SessionModel
from ndb_models.types import SessionToken

MAX_TASKS: Final = 1000
MAX_SECONDS: Final = 3600.0

# More sessions are not created than can be ended in a moment, and than fit into the memory of any store.
_MOST_SESSIONS: Final = 50_000
# Sessions that the reads and changes go through.
_USED: Final = 1000
# Sessions that are ended together, and the failures without a success at which a measurement gives up.
_ENDED_TOGETHER: Final = 64
_MOST_FAILURES: Final = 100


class BenchSession(SessionModel, schema="ndb_models_bench", expiry=Expiry(idle=timedelta(minutes=10))):
    """A session as a shop may have it, of some 300 bytes. Sessions that a killed run leaves expire by themselves."""

    username: str
    roles: list[str] = ["customer", "reviewer"]
    cart: dict[str, int] = {"apple": 3, "orange": 1, "notebook": 2}
    theme: str = "dark"
    visits: int = 0


@dataclass(slots=True)
class BenchReport:
    """The figures of a run.

    Attributes:
        tasks: how many tasks worked at once.
        measured: the verbs, in order.
        created: how many sessions were created. `left` of them could not be ended; they expire within ten minutes.
    """

    tasks: int
    measured: list[Measured] = field(default_factory=list[Measured])
    created: int = 0
    left: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        verbs = [each.as_json() for each in self.measured]
        return {"tasks": self.tasks, "verbs": verbs, "created": self.created, "left": self.left}


async def measure(
    client: NdbClient,
    *,
    seconds: float = 10.0,
    tasks: int = 50,
    report: Callable[[str], None] = lambda _: None,
) -> BenchReport:
    """Measure create, get, change (read, change one field, save) and end, on a store, with sessions of its own.

    This is load on the store, of as many requests as it can take. All sessions are ended at the end, also if this is
    cancelled or fails. Other data is not touched.

    Args:
        client: an open client.
        seconds: the time for create, get and change together, 0.1 to 3600. Ending takes its own.
        tasks: how many tasks work at once, 1 to 1000.
        report: called with the name of each verb that begins.

    Raises:
        InvalidArgumentError: an argument is out of range.
        NdbError: the store fails again and again.
    """
    if not 0.1 <= seconds <= MAX_SECONDS:
        raise InvalidArgumentError(f"seconds are from 0.1 to {MAX_SECONDS:g}")
    if not 1 <= tasks <= MAX_TASKS:
        raise InvalidArgumentError(f"tasks are from 1 to {MAX_TASKS}")
    bench = _Bench(client, tasks)
    try:
        for verb in (bench.create, bench.get, bench.change):
            report(verb.__name__)
            bench.report.measured.append(await bench.timed(verb, seconds / 3))
        report("end")
        bench.report.measured.append(await bench.end_all())
    except BaseException:
        await asyncio.shield(bench.end_all())
        raise
    bench.report.left = len(bench.tokens)
    return bench.report


class _Bench:
    def __init__(self, client: NdbClient, tasks: int) -> None:
        self._repository = Repository(client, BenchSession)
        self._tasks = tasks
        self._next = 0
        self.tokens: list[SessionToken] = []
        self.report = BenchReport(tasks)

    async def create(self) -> None:
        self._next += 1
        session = await self._repository.create(BenchSession(username=f"customer{self._next}"))
        self.tokens.append(session.tkn)
        self.report.created += 1

    async def get(self) -> None:
        await self._repository.get(self._a_token())

    async def change(self) -> None:
        session = await self._repository.get(self._a_token())
        session.visits += 1
        await self._repository.save(session)

    def _a_token(self) -> SessionToken:
        self._next += 1
        return self.tokens[self._next % min(_USED, len(self.tokens))]

    async def timed(self, verb: Callable[[], Awaitable[None]], seconds: float) -> Measured:
        """Have all tasks do a verb again and again for some seconds; of `create`, a bounded number of times."""
        begun = time.perf_counter()
        until = begun + seconds
        most = _MOST_SESSIONS if verb == self.create else None
        measuring = _Measuring()

        async def work() -> None:
            while time.perf_counter() < until and (most is None or measuring.latencies.count < most):
                if measuring.is_hopeless:
                    return
                await measuring.add(verb)
                await asyncio.sleep(0)  # a store in this process never waits

        await _together(work, self._tasks)
        measuring.require_success()
        return measuring.measured(verb.__name__, time.perf_counter() - begun)

    async def end_all(self) -> Measured:
        """End all sessions that were created. Those that cannot be ended stay in `tokens`."""
        begun = time.perf_counter()
        measuring = _Measuring()
        remaining, self.tokens = self.tokens, []

        async def work() -> None:
            while remaining and not measuring.is_hopeless:
                tkn = remaining.pop()
                if not await measuring.add(partial(self._repository.delete, tkn)):
                    self.tokens.append(tkn)

        await _together(work, min(self._tasks, _ENDED_TOGETHER))
        self.tokens += remaining
        return measuring.measured("end", time.perf_counter() - begun)


async def _together(work: Callable[[], Coroutine[Any, Any, None]], tasks: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(work())


class _Measuring:
    """The figures of one verb, while all tasks do it."""

    def __init__(self) -> None:
        self.latencies = Latencies()
        self._failed: Counter[str] = Counter()
        self._last: NdbError | None = None

    async def add(self, verb: Callable[[], Awaitable[object]]) -> bool:
        """Do a verb and count it; return False if it failed."""
        begun = time.perf_counter()
        try:
            await verb()
        except NdbError as exc:
            self._failed[type(exc).__name__] += 1
            self._last = exc
            return False
        self.latencies.add(time.perf_counter() - begun)
        return True

    @property
    def is_hopeless(self) -> bool:
        """True if the verb has failed often, and was never done."""
        return self._failed.total() >= _MOST_FAILURES and not self.latencies.count

    def require_success(self) -> None:
        """Raise the last error, if the verb was never done."""
        if not self.latencies.count:
            raise self._last if self._last is not None else NdbError("nothing was done within the time")

    def measured(self, verb: str, seconds: float) -> Measured:
        latencies = self.latencies
        shown = {each: latencies.percentile(each) * 1000 for each in PERCENTILES} if latencies.count else {}
        return Measured(verb, latencies.count, seconds, shown, latencies.longest * 1000, dict(self._failed))
