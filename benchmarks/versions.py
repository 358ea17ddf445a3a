"""What versions cost where the session is of the current one: the same model with `version=3` and two steps.

Both sides run in turn in one process on the engine in it, a few hundred operations each time, so that what the machine
does besides meets both alike; the ratio is that of the medians.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from benchmarks.harness import table
from benchmarks.repository import IDLE, Measured, measured
from ndb_models import Expiry, JsonValue, NdbClient, Repository

BATCH = 200


class Versioned(Measured, version=3, expiry=Expiry(idle=IDLE)):
    """The same fields, in the third version."""


@Versioned.upgrade(1)
def _second(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return keys


@Versioned.upgrade(2)
def _third(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return keys


async def _get(repo: Repository[Measured], model: Measured) -> None:
    await repo.get(model.tkn)


async def _save_and_get(repo: Repository[Measured], model: Measured) -> None:
    await repo.get((await repo.create(model)).tkn)


async def _edit(repo: Repository[Measured], model: Measured) -> None:
    async with repo.edit(model.tkn) as session:
        session.visits += 1


OPERATIONS: dict[str, Callable[[Repository[Measured], Measured], Awaitable[None]]] = {
    "get": _get,
    "create and get": _save_and_get,
    "edit": _edit,
}


def bench(*, scale: float, rounds: int) -> None:
    """Run the comparison."""
    asyncio.run(_compare(int(rounds * 40 * scale) or 1))


async def _compare(batches: int) -> None:
    rows = []
    async with NdbClient.connect("memory://") as client:
        for name, operation in OPERATIONS.items():
            sides = [await _side(client, model) for model in (Measured, Versioned)]
            times: tuple[list[float], list[float]] = ([], [])
            for batch in range(batches):
                for side in (0, 1) if batch % 2 else (1, 0):
                    times[side].append(await _timed(operation, *sides[side]))
            without, with_versions = (statistics.median(side) / BATCH * 1e6 for side in times)
            rows.append((name, f"{without:.1f}", f"{with_versions:.1f}", f"{with_versions / without:.3f}"))
    table("Versions, in this process", ("what", "us without", "us with version=3", "ratio"), rows)


async def _side(client: NdbClient, model: type[Measured]) -> tuple[Repository[Measured], Measured]:
    repo = Repository(client, model)
    return repo, await repo.save(model.model_validate(measured(0).model_dump()))


async def _timed(
    operation: Callable[[Repository[Measured], Measured], Awaitable[None]], repo: Repository[Measured], model: Measured
) -> float:
    started = time.perf_counter()
    for _ in range(BATCH):
        await operation(repo, model)
    return time.perf_counter() - started
