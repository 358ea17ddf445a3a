"""What a synchronous call takes more than the asynchronous one, on a store in memory; and by other ways to call one.

The other ways run the event loop in a thread of its own: asyncio's `run_coroutine_threadsafe`, and anyio's blocking
portal where anyio is installed. Each verb is called by each way in turn, a few hundred times. The figures are medians
of the single calls, in microseconds; the extra time is the median over the rounds.

Run `python -m benchmarks.synchronous` for this table alone.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager

from benchmarks.harness import table
from benchmarks.repository import Measured, measured
from ndb_models import NdbClient, Repository
from ndb_models.sync import SyncClient, SyncRepository

CALLS = 300

Portal = Callable[[Callable[[], Awaitable[object]]], object]
"""Runs an asynchronous function to its end, for a thread without an event loop."""


class Asynchronous:
    """The verbs, asynchronous."""

    def __init__(self, repo: Repository[Measured], session: Measured) -> None:
        self._repo = repo
        self._session = session

    async def get(self) -> None:
        """Get the session."""
        await self._repo.get(self._session.tkn)

    async def save(self) -> None:
        """Change one field, and save the model."""
        self._session.visits += 1
        await self._repo.save(self._session)

    async def update(self) -> None:
        """Get the session, change one field, and save it."""
        await self._repo.update(self._session.tkn, visits=time.perf_counter_ns())

    async def edit(self) -> None:
        """Do the same by `edit`, which is two calls."""
        async with self._repo.edit(self._session.tkn) as session:
            session.visits += 1

    async def mutate(self) -> None:
        """Do the same by `mutate`, which calls a function."""
        await self._repo.mutate(self._session.tkn, count)


class Synchronous:
    """The same verbs, synchronous."""

    def __init__(self, repo: SyncRepository[Measured], session: Measured) -> None:
        self._repo = repo
        self._session = session

    def get(self) -> None:
        """Get the session."""
        self._repo.get(self._session.tkn)

    def save(self) -> None:
        """Change one field, and save the model."""
        self._session.visits += 1
        self._repo.save(self._session)

    def update(self) -> None:
        """Get the session, change one field, and save it."""
        self._repo.update(self._session.tkn, visits=time.perf_counter_ns())

    def edit(self) -> None:
        """Do the same by `edit`."""
        with self._repo.edit(self._session.tkn) as session:
            session.visits += 1

    def mutate(self) -> None:
        """Do the same by `mutate`."""
        self._repo.mutate(self._session.tkn, count)


VERBS = ("get", "save", "update", "edit", "mutate")


def count(session: Measured) -> None:
    """Change one field."""
    session.visits += 1


def seconds_of(call: Callable[[], object]) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


async def seconds_awaited(call: Callable[[], Awaitable[object]]) -> float:
    """Return the median time of an asynchronous call."""
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


@contextmanager
def loop_in_a_thread() -> Generator[Portal]:
    """Run an event loop in a thread; yield what hands it coroutines."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def run(call: Callable[[], Awaitable[object]]) -> object:
        return await call()

    yield lambda call: asyncio.run_coroutine_threadsafe(run(call), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def portals(stack: ExitStack) -> dict[str, Portal]:
    """Return the other ways to make a synchronous call."""
    ways: dict[str, Portal] = {"run_coroutine_threadsafe": stack.enter_context(loop_in_a_thread())}
    if importlib.util.find_spec("anyio") is not None:
        from anyio.from_thread import start_blocking_portal

        ways["anyio's portal"] = stack.enter_context(start_blocking_portal()).call
    return ways


def extra_microseconds(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return for each verb the time of the asynchronous call, and what each other way takes more, round by round."""
    found: dict[str, dict[str, list[float]]] = {verb: {} for verb in VERBS}
    with SyncClient.connect("memory://") as client, ExitStack() as stack, asyncio.Runner() as runner:
        repo = SyncRepository(client, Measured)
        synchronous = Synchronous(repo, repo.create(measured(0)))
        ways = portals(stack)
        opened = NdbClient("memory://")
        asynchronous_repo = Repository(opened, Measured)
        asynchronous = Asynchronous(asynchronous_repo, runner.run(asynchronous_repo.create(measured(0))))
        for _ in range(rounds):
            for verb in VERBS:
                awaited: Callable[[], Awaitable[object]] = getattr(asynchronous, verb)
                base = runner.run(seconds_awaited(awaited))
                taken = {"SyncRepository": seconds_of(getattr(synchronous, verb))}
                for name, portal in ways.items():
                    taken[name] = seconds_of(lambda portal=portal, awaited=awaited: portal(awaited))  # type: ignore[misc]
                found[verb].setdefault("asynchronous", []).append(base * 1e6)
                for name, seconds in taken.items():
                    found[verb].setdefault(name, []).append((seconds - base) * 1e6)
        runner.run(opened.close())
    return found


def bench(*, scale: float, rounds: int) -> None:
    """Measure all verbs."""
    found = extra_microseconds(int(rounds * 4 * scale) or 1)
    ways = [name for name in next(iter(found.values())) if name != "asynchronous"]
    table(
        "Synchronous calls on memory://, in us",
        ("verb", "asynchronous", *(f"{name}: extra" for name in ways)),
        [
            (verb, *(f"{statistics.median(times[name]):.0f}" for name in ("asynchronous", *ways)))
            for verb, times in found.items()
        ],
    )


if __name__ == "__main__":
    bench(scale=1.0, rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 5)
