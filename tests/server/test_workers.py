"""Several processes on one port: all answer, who dies is replaced, who is told to stop stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import pytest

from tests.server.plain_client import ask, plain

GUARD = 20

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forks")


@contextlib.asynccontextmanager
async def program(count: int, mode: str = "serve") -> AsyncIterator[Process]:
    command = (sys.executable, "-W", "error", "-m", "tests.server.workers_program", str(count), mode)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, start_new_session=True)
    try:
        async with asyncio.timeout(GUARD):
            yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # the workers too: they are in the session of their parent
            await process.communicate()


async def next_worker(process: Process) -> tuple[int, int]:
    """Return the process id of the next worker that is ready, and the port."""
    assert process.stdout is not None
    word, pid, port = (await process.stdout.readline()).decode().split()
    assert word == "worker"
    return int(pid), int(port)


async def who_answers(port: int) -> int:
    async with plain(f"ws://127.0.0.1:{port}/") as websocket:
        answer = await ask(websocket, "KV_GET", keys=["pid"])
        pid: int = answer["keys"]["pid"]
        return pid


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_every_worker_gets_its_share_and_all_stop_when_told() -> None:
    async with program(3) as process:
        workers = [await next_worker(process) for _ in range(3)]
        ports = {port for _, port in workers}
        assert len(ports) == 1
        pids = {pid for pid, _ in workers}
        port = ports.pop()
        answered: set[int] = set()
        while answered != pids:
            answered.add(await who_answers(port))
            assert answered <= pids
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert not any(map(is_alive, pids))


async def test_a_worker_that_dies_is_replaced() -> None:
    async with program(2, "age") as process:
        (first, port), (second, _) = [await next_worker(process) for _ in range(2)]
        os.kill(first, signal.SIGKILL)
        third, _ = await next_worker(process)
        assert third not in (first, second)
        answered: set[int] = set()
        while answered != {second, third}:
            answered.add(await who_answers(port))
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def test_a_worker_that_dies_at_once_ends_all() -> None:
    async with program(2) as process:
        (first, _), (second, _) = [await next_worker(process) for _ in range(2)]
        os.kill(first, signal.SIGKILL)
        assert await process.wait() == 1
        assert not is_alive(second)


async def test_workers_that_cannot_start_are_not_started_for_ever() -> None:
    async with program(2, "fail") as process:
        assert await process.wait() == 1


async def test_a_hangup_is_passed_on() -> None:
    async with program(2) as process:
        pids = {pid for pid, _ in [await next_worker(process) for _ in range(2)]}
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        heard = {(await process.stdout.readline()).decode().split()[1] for _ in range(2)}
        assert heard == set(map(str, pids))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
