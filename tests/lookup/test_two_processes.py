"""Processes that claim one value at the same moment, over and over: one wins each time, and never two."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path

import pytest

from ndb_models import NdbClient, Repository
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.lookup.models import Login

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

ROOT = Path(__file__).parent.parent.parent
ROUNDS = 1000
ROUNDS_ON_A_FILE = 12


async def start(uri: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.lookup.claimer", uri, cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    assert await answer(process) == "ready"
    return process


def tell(process: Process, word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n".encode())


async def answer(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()


@pytest.mark.parametrize("kinds", [("create", "create"), ("update", "create")], ids=" against ".join)
async def test_of_two_processes_exactly_one_wins_each_of_a_thousand_rounds(kinds: tuple[str, str]) -> None:
    rounds = ROUNDS if kinds[0] == "create" else ROUNDS // 5
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server:
        processes = [await start(server.uri) for _ in range(2)]
        outcomes: Counter[tuple[str, ...]] = Counter()
        for number in range(rounds):
            for process, kind in zip(processes, kinds, strict=True):
                tell(process, f"{kind} {number}")
            outcomes[tuple([await answer(process) for process in processes])] += 1
        for process in processes:
            tell(process, "")
            assert await asyncio.wait_for(process.wait(), 60) == 0
        assert outcomes[("won", "lost")] + outcomes[("lost", "won")] == rounds
        async with NdbClient.connect(server.uri) as client:
            assert (await client.kv_count()) == rounds
            if kinds[0] == "create":
                assert len(outcomes) == 2, "one was always faster, so that this has tried nothing"
                found = [await Repository(client, Login).find(email=str(number)) for number in range(rounds)]
                assert [len(sessions) for sessions in found] == [1] * rounds


async def test_of_four_processes_on_a_file_one_wins_each_round_and_the_others_are_told_that_it_is_taken(
    tmp_path: Path,
) -> None:
    uri = f"sqlite:///{tmp_path / 'sessions.db'}"
    processes = [await start(uri) for _ in range(4)]
    for number in range(ROUNDS_ON_A_FILE):
        for process in processes:
            tell(process, f"create {number}")
        assert sorted([await answer(process) for process in processes]) == ["lost", "lost", "lost", "won"]
    for process in processes:
        tell(process, "")
        assert await asyncio.wait_for(process.wait(), 60) == 0
