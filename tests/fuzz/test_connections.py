"""Connections of garbage, of the slow, and of those who do not read: each ends as it must, and nobody else notices."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.fuzz.breaches import PATIENT, QUICK, Kind
from tests.fuzz.serve import PATIENCE
from tests.fuzz.sizes import CONNECTIONS, SEED, seeded
from tests.fuzz.subject import Growth, Subject, subject, undisturbed
from tests.server.raw_connection import raw

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

AT_ONCE: Final = 40
ENDS_WITHIN: Final = 30
GROWS_AT_MOST: Final = 16 * 1024 * 1024
WARMING_UP: Final = 0.2
# Of each kind, all at the same time: what they cost is time, and most of that is waiting.
PATIENT_ONES: Final = max(2, CONNECTIONS // 200)


async def one(server: Subject, kind: Kind, number: int) -> str:
    """Make one connection, and see that it ends as it must, and in time; return of what kind it was."""
    try:
        async with asyncio.timeout(ENDS_WITHIN), raw(server.port) as connection:
            await kind(connection, seeded(kind.__name__, number))
    except (AssertionError, TimeoutError, asyncio.IncompleteReadError, OSError) as exc:
        raise AssertionError(f"seed {SEED}, connection {number}, {kind.__name__}: {exc!r}") from exc
    return kind.__name__


async def make(server: Subject, numbers: range) -> Counter[str]:
    """Make connections of all kinds, some at a time; return how many of each there were."""
    waiting = iter(numbers)
    made: Counter[str] = Counter()

    async def one_after_the_other() -> None:
        for number in waiting:
            made[await one(server, seeded("kind", number).choice(QUICK), number)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_the_other())
    return made


async def test_garbage_ends_with_the_right_code_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.perf_counter()
    first = int(CONNECTIONS * WARMING_UP)
    async with subject(tmp_path) as server:
        made = await make(server, range(first))
        before = await server.emptied()
        async with undisturbed(server.uri) as aside:
            made += await make(server, range(first, CONNECTIONS))
        after = await server.emptied()
        open_now = server.open_files()
    memory = Growth(before, after)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{made.total()} connections in {time.perf_counter() - started:.1f} s, seed {SEED}; {aside};"
            f" {memory}; {dict(made)}\n"
        )
    assert made.total() == CONNECTIONS
    assert memory.bytes < GROWS_AT_MOST
    assert open_now is None or open_now < AT_ONCE


async def slow_ones(server: Subject, numbers: range) -> None:
    """Make connections of all slow kinds, all at once."""
    async with asyncio.TaskGroup() as group:
        for kind in PATIENT:
            for number in numbers:
                group.create_task(one(server, kind, number))


async def test_whoever_is_slow_is_not_waited_for_and_memory_stays_flat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with subject(tmp_path) as server:
        started = time.perf_counter()
        await slow_ones(server, range(PATIENT_ONES))
        before = await server.emptied()
        async with undisturbed(server.uri) as aside:
            await slow_ones(server, range(PATIENT_ONES, 2 * PATIENT_ONES))
        after = await server.emptied()
        took = time.perf_counter() - started
    memory = Growth(before, after)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{2 * len(PATIENT) * PATIENT_ONES} slow connections in {took:.1f} s, seed {SEED}; {aside}; {memory}\n"
        )
    assert took > 2 * PATIENCE * 0.9, "somebody was to be waited for"
    assert memory.bytes < GROWS_AT_MOST
