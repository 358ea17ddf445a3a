"""Few file descriptors: the limit is raised, clients are fewer, and health is answered when none is left."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from benchmarks.harness import loop_factories
from ndb_models.server import ServerOptions
from ndb_models.server.file_descriptors import descriptors_for, fitted
from tests.server.few_descriptors_program import FREE
from tests.server.http_client import fetch
from tests.server.plain_client import ask, plain

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of files are told apart by /proc")

GUARD = 60
CLIENTS = 2 * FREE


@contextlib.asynccontextmanager
async def few_descriptors(loop: str) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run the program; yield its port, and what it will have logged in the end."""
    command = (sys.executable, "-m", "tests.server.few_descriptors_program", loop)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    logged: list[bytes] = []
    try:
        async with asyncio.timeout(GUARD):
            assert process.stdout is not None
            yield int(await process.stdout.readline()), logged
            _, errors = await process.communicate(b"")
            logged += errors.splitlines()
            assert process.returncode == 0, errors.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def connected(uri: str, stack: contextlib.AsyncExitStack) -> ClientConnection | int:
    """Return a client that stays, or the status with which it was refused."""
    try:
        return await stack.enter_async_context(plain(uri))
    except InvalidStatus as exc:
        return exc.response.status_code


@pytest.mark.slow
@pytest.mark.parametrize("loop", loop_factories())
async def test_without_a_descriptor_clients_are_told_to_come_back_and_health_is_answered(loop: str) -> None:
    async with few_descriptors(loop) as (port, logged):
        uri = f"ws://127.0.0.1:{port}/"
        async with contextlib.AsyncExitStack() as stack:
            came = [await connected(uri, stack) for _ in range(CLIENTS)]
            admitted = [each for each in came if not isinstance(each, int)]
            assert FREE // 2 < len(admitted) <= FREE
            assert [each for each in came if isinstance(each, int)] == [503] * (CLIENTS - len(admitted))
            for _ in range(20):
                assert (await fetch(port, "/healthz")).status == 200
            counted = re.search("ndb_accepts_failed_total ([0-9]+)", (await fetch(port, "/metrics")).body)
            assert counted is not None
            assert int(counted[1]) > 0
            for websocket in admitted:
                assert (await ask(websocket, "KV_COUNT"))["cnt"] == 0
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            assert (await fetch(port, "/healthz")).status == 200
            for _, writer in silent:
                writer.close()
        async with plain(uri) as websocket:
            assert (await ask(websocket, "KV_COUNT"))["cnt"] == 0
    assert len(logged) == 1
    assert b"raise the limit of open files" in logged[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "clients", "warnings"), [("ulimit -n 200", 78, 1), ("ulimit -Sn 200; ulimit -Hn 20000", 10_000, 0)]
)
async def test_serve_raises_the_soft_limit_and_lets_in_as_many_clients_as_the_hard_one_allows(
    limits: str, clients: int, warnings: int
) -> None:
    serve = f"{limits}; exec {sys.executable} -m ndb_models serve --port 0"
    process = await asyncio.create_subprocess_exec("sh", "-c", serve, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(GUARD):
        assert process.stdout is not None
        port = re.search(r":([0-9]+)/", (await process.stdout.readline()).decode())
        assert port is not None
        answer = await fetch(int(port[1]), "/metrics")
        process.terminate()
        _, errors = await process.communicate()
    assert process.returncode == 0
    assert f"process_max_fds {descriptors_for(ServerOptions()) if clients == 10_000 else 200}\n" in answer.body
    assert len(errors.splitlines()) == warnings, errors.decode()
    assert errors.count(b"max_connections=78") == warnings


def test_options_that_fit_the_limit_stay_as_they_are() -> None:
    options = ServerOptions()
    assert fitted(options, descriptors_for(options)) is options
    assert fitted(options, float("inf")) is options


@pytest.mark.parametrize("limit", [10, 100, 128, 256, 1024, 4096])
def test_clients_and_handshakes_together_fit_a_limit_of_any_size(limit: int) -> None:
    fitting = fitted(ServerOptions(), limit)
    assert fitting.max_connections >= 1
    assert fitting.max_handshakes >= 1
    assert descriptors_for(fitting) <= max(limit, 98)
