"""Several processes on one port: all answer, who dies is replaced, and no signal comes at a wrong moment."""

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

GUARD = 60

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forks"),
    pytest.mark.slow,
]


@contextlib.asynccontextmanager
async def program(count: int, mode: str = "serve") -> AsyncIterator[Process]:
    command = (sys.executable, "-W", "error", "-m", "tests.server.workers_program", str(count), mode)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True)
    try:
        async with asyncio.timeout(GUARD):
            yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # the workers too: they are in the session of their parent
            await process.communicate()


async def next_line(process: Process) -> tuple[str, int, int]:
    """Return the next line: what happened, the process id, and the port or another number."""
    assert process.stdout is not None
    word, pid, number = (await process.stdout.readline()).decode().split()
    return word, int(pid), int(number)


async def next_of(process: Process, wanted: str) -> tuple[int, int]:
    """Return process id and number of the next line of one kind; others are passed over."""
    while True:
        word, pid, number = await next_line(process)
        if word == wanted:
            return pid, number


async def next_worker(process: Process) -> tuple[int, int]:
    """Return the process id of the next worker that is ready, and the port."""
    return await next_of(process, "worker")


def let_begin(process: Process, workers: int = 1) -> None:
    """Let so many workers of the mode `gate` handle signals."""
    assert process.stdin is not None
    process.stdin.write(b"." * workers)


async def stop(process: Process, number: signal.Signals = signal.SIGTERM, *, status: int = 0) -> None:
    process.send_signal(number)
    assert await process.wait() == status


async def who_answers(port: int) -> int:
    async with plain(f"ws://127.0.0.1:{port}/") as websocket:
        answer = await ask(websocket, "KV_GET", keys=["pid"])
        pid: int = answer["keys"]["pid"]
        return pid


async def until_all_answer(port: int, pids: set[int]) -> None:
    answered: set[int] = set()
    while answered != pids:
        answered.add(await who_answers(port))
        assert answered <= pids


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
        await until_all_answer(ports.pop(), pids)
        await stop(process)
        assert not any(map(is_alive, pids))


async def test_a_worker_that_dies_is_replaced_also_right_after_it_was_ready() -> None:
    async with program(2) as process:
        (first, port), (second, _) = [await next_worker(process) for _ in range(2)]
        for _ in range(3):
            os.kill(first, signal.SIGKILL)
            first, _ = await next_worker(process)
        await until_all_answer(port, {first, second})
        await stop(process, signal.SIGINT)


async def test_all_workers_that_die_are_replaced() -> None:
    async with program(3) as process:
        workers = [await next_worker(process) for _ in range(3)]
        for pid, _ in workers:
            os.kill(pid, signal.SIGKILL)
        pids = {(await next_worker(process))[0] for _ in range(3)}
        await until_all_answer(workers[0][1], pids)
        await stop(process)


class TestAWorkerThatCannotStart:
    async def test_ends_the_service_where_none_can(self) -> None:
        async with program(3, "fail") as process:
            assert {await next_of(process, "fail") for _ in range(3)}
            assert await process.wait() == 1

    @pytest.mark.parametrize("mode", ["one-fails", "first-fails"])
    async def test_is_tried_again_later_and_later_while_the_others_serve(self, mode: str) -> None:
        loop = asyncio.get_running_loop()
        async with program(3, mode) as process:
            pids: set[int] = set()
            port = 0
            failures: list[float] = []
            while len(pids) < 2 or len(failures) < 4:
                word, pid, number = await next_line(process)
                if word == "worker":
                    pids.add(pid)
                    port = number
                else:
                    failures.append(loop.time())
            assert failures[3] - failures[0] > 0.6  # 0.1 s, 0.2 s, 0.4 s
            await until_all_answer(port, pids)
            process.send_signal(signal.SIGHUP)
            assert {(await next_of(process, "reload"))[0] for _ in range(2)} == pids
            await stop(process)


class TestASignal:
    @pytest.mark.parametrize("to", ["parent", "worker", "all"])
    async def test_waits_for_the_handlers_of_a_worker_that_starts(self, to: str) -> None:
        """To the first worker, and to one that replaces another."""
        async with program(2, "gate") as process:
            let_begin(process, 2)
            workers = [await next_worker(process) for _ in range(2)]
            os.kill(workers[0][0], signal.SIGKILL)
            begun, _ = await next_of(process, "begun")
            for _ in range(20):
                if to != "worker":
                    process.send_signal(signal.SIGHUP)
                if to != "parent":
                    os.kill(begun, signal.SIGHUP)
            if to != "worker":
                assert (await next_of(process, "reload"))[0] == workers[1][0]
            let_begin(process)
            while (heard := await next_of(process, "reload"))[0] != begun:
                pass
            assert (heard[1] > 1) is (to != "worker")
            await until_all_answer(workers[0][1], {begun, workers[1][0]})
            await stop(process)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_to_stop_waits_too_and_stops_all(self, number: signal.Signals) -> None:
        async with program(2, "gate") as process:
            begun, _ = await next_of(process, "begun")
            process.send_signal(number)
            process.send_signal(signal.SIGHUP)
            let_begin(process, 2)
            assert await next_of(process, "stop") == (begun, 0)
            assert await process.wait() == 0

    async def test_is_never_the_end_of_the_service_in_a_storm_of_them(self) -> None:
        async with program(3) as process:
            workers = {(await next_worker(process))[0] for _ in range(3)}
            port = 0
            for turn in range(60):
                for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM):
                    process.send_signal(number)
                if turn % 20 == 0:
                    victim = workers.pop()
                    os.kill(victim, signal.SIGKILL)
                    process.send_signal(signal.SIGHUP)
                    pid, port = await next_worker(process)
                    workers.add(pid)
            await until_all_answer(port, workers)
            await stop(process)
            assert not any(map(is_alive, workers))

    async def test_to_reload_is_passed_on(self) -> None:
        async with program(2) as process:
            pids = {pid for pid, _ in [await next_worker(process) for _ in range(2)]}
            process.send_signal(signal.SIGHUP)
            assert {await next_of(process, "reload") for _ in range(2)} == {(pid, 2) for pid in pids}
            await stop(process)


async def test_a_worker_that_hangs_when_it_is_to_stop_is_killed() -> None:
    async with program(2, "hang") as process:
        pids = [(await next_worker(process))[0] for _ in range(2)]
        await stop(process, status=1)
        assert not any(map(is_alive, pids))


async def test_a_worker_that_was_stopped_by_the_system_is_killed_when_it_is_to_end() -> None:
    async with program(2) as process:
        (first, _), (second, _) = [await next_worker(process) for _ in range(2)]
        os.kill(first, signal.SIGSTOP)
        await stop(process, status=1)
        assert not is_alive(first)
        assert not is_alive(second)


async def test_a_second_signal_to_stop_changes_nothing_for_a_worker_that_is_stopping() -> None:
    async with program(1, "gate") as process:
        pid, _ = await next_of(process, "begun")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        let_begin(process)
        assert await next_of(process, "stop") == (pid, 0)
        assert await process.wait() == 0
