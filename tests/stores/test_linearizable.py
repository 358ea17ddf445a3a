"""Comparing and setting is linearizable on every store, through several clients, also where a server is killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ndb_models import ConnectionLostError, NdbClient, UnavailableError
from tests.free_ports import free_port
from tests.stores.linearizable import Operation, is_linearizable

FIELDS = ("a", "b", "c")
TASKS = 6


def read(start: float, end: float, result: bytes) -> Operation:
    return Operation("read", start, end=end, result=result)


def change(start: float, end: float, old: bytes, new: bytes, result: bool) -> Operation:
    return Operation("change", start, old, new, end, result)


@pytest.mark.parametrize(
    ("history", "possible"),
    [
        ([change(0, 1, b"0", b"1", True), read(2, 3, b"1")], True),
        ([change(0, 1, b"0", b"1", True), read(2, 3, b"0")], False),
        ([change(0, 2, b"0", b"1", True), read(1, 3, b"0")], True),
        ([change(0, 2, b"0", b"1", True), change(1, 3, b"0", b"2", True)], False),
        ([change(0, 2, b"0", b"1", True), change(1, 3, b"0", b"2", False)], True),
        ([change(0, 1, b"0", b"1", True), change(2, 3, b"1", b"2", False)], False),
        ([Operation("change", 0, b"0", b"1"), read(5, 6, b"1"), read(7, 8, b"1")], True),
        ([Operation("change", 0, b"0", b"1"), read(5, 6, b"1"), read(7, 8, b"0")], False),
        ([Operation("write", 0, new=b"7", end=1, result=True), read(2, 3, b"0")], False),
    ],
)
def test_the_checker_tells_what_could_have_been(history: list[Operation], possible: bool) -> None:
    assert is_linearizable(history, b"0") is possible


class Histories:
    """Random operations of several tasks on the fields of one session, and what came of them."""

    def __init__(self, clients: list[NdbClient], tkn: int, seed: int, kinds: str = "read change change write") -> None:
        self._kinds = kinds.split()
        self._clients = clients
        self._tkn = tkn
        self._random = random.Random(seed)
        self._values = itertools.count(1)
        self._latest = dict.fromkeys(FIELDS, b"0")
        self.of: dict[str, list[Operation]] = {field: [] for field in FIELDS}

    async def run(self, operations: int) -> None:
        async def task(number: int) -> None:
            for _ in range(operations):
                await self._step(self._clients[number % len(self._clients)])

        await asyncio.gather(*map(task, range(TASKS)))

    async def _step(self, client: NdbClient) -> None:
        field, value = self._random.choice(FIELDS), next(self._values)
        kind = self._random.choice(self._kinds)
        operation = Operation("read", time.monotonic())
        if kind == "change":
            operation = Operation("change", time.monotonic(), self._latest[field], b"%d" % value)
        elif kind == "write":
            operation = Operation("write", time.monotonic(), new=b"%d" % value)
        self.of[field].append(operation)
        try:
            if kind == "read":
                operation.result = self._latest[field] = str((await client.sh_get([field], self._tkn))[field]).encode()
            elif kind == "write":
                operation.result = await client.sh_set({field: value}, self._tkn)
            else:
                texts = {field: self._latest[field].decode()}
                operation.old = texts[field].encode()
                operation.result = await client.sh_change({field: value}, self._tkn, texts=texts)
        except ConnectionLostError as exc:
            if not exc.maybe_done:
                self.of[field].remove(operation)
        except UnavailableError:
            pass
        else:
            operation.end = time.monotonic()

    def assert_linearizable(self) -> None:
        for field, history in self.of.items():
            assert is_linearizable(history, b"0"), field


@pytest.mark.parametrize("seed", range(5))
async def test_histories_of_several_clients_are_linearizable(uri: str, seed: int) -> None:
    if uri.startswith("memory://"):
        uri = f"memory://linearizable-{seed}"
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(NdbClient.connect(uri)) for _ in range(3)]
        tkn = (await clients[0].sh_create_session()).tkn
        await clients[0].sh_set(dict.fromkeys(FIELDS, 0), tkn)
        histories = Histories(clients, tkn, seed)
        await histories.run(40)
    histories.assert_linearizable()
    results = [each.result for history in histories.of.values() for each in history if each.kind == "change"]
    assert {True, False} <= {*results}  # some changes met others


async def serve(port: int, path: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ndb_models", "serve", "--port", str(port), "--store", f"sqlite:///{path}"),
        stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return process
    raise AssertionError("the server does not start")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_histories_over_a_server_that_is_killed_are_linearizable(tmp_path: Path, seed: int) -> None:
    port = free_port()
    process = await serve(port, tmp_path / "sessions.db")
    try:
        uri = f"ws://127.0.0.1:{port}/"
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(NdbClient.connect(uri, connect_wait=20, request_timeout=30))
                for _ in range(3)
            ]
            tkn = (await clients[0].sh_create_session()).tkn
            await clients[0].sh_set(dict.fromkeys(FIELDS, 0), tkn)
            # No plain writes: after a lost answer a client sends one again, and so it may happen twice.
            histories = Histories(clients, tkn, seed, "read change")
            running = asyncio.create_task(histories.run(60))
            for _ in range(2):
                await asyncio.sleep(0.1)
                process.kill()
                await process.wait()
                process = await serve(port, tmp_path / "sessions.db")
            await asyncio.wait_for(running, 60)
        histories.assert_linearizable()
    finally:
        process.kill()
        await process.wait()
