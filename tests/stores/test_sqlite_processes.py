"""Several processes on one file: nothing that one of them writes is lost, and one creates what all want to create."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from ndb_models.stores.contract import NEVER
from ndb_models.stores.sqlite import SqliteStore
from tests.stores.sharing import SHARED_SESSION, TASKS

pytestmark = pytest.mark.slow

PROCESSES = 3
ROUNDS = 60


async def share(path: Path) -> list[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stores.sharing", str(path), str(ROUNDS)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return [int(token) for token in output.split()]


async def test_of_what_many_processes_do_at_once_nothing_is_lost_and_nothing_done_twice(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    counters = {f"counter{number}": b"0" for number in range(TASKS)}
    async with SqliteStore(path) as store:
        await store.create(SHARED_SESSION, NEVER, counters)
        created = await asyncio.gather(*(share(path) for _ in range(PROCESSES)))
        assert sorted(token for tokens in created for token in tokens) == list(range(1, ROUNDS + 1))
        assert await store.get_all(SHARED_SESSION) == dict.fromkeys(counters, b"%d" % (PROCESSES * ROUNDS))


async def test_processes_that_make_the_file_at_once_make_one(tmp_path: Path) -> None:
    for round_ in range(5):
        path = tmp_path / f"{round_}.db"
        stores = [SqliteStore(path) for _ in range(4)]  # each with a connection of its own, as a process has
        await asyncio.gather(*(store.open() for store in stores))
        created = await asyncio.gather(*(store.create(1, NEVER) for store in stores))
        assert sorted(created) == [False, False, False, True]
        await asyncio.gather(*(store.aclose() for store in stores))
