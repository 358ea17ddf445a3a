"""Clients that send and do not read: they are cut off, what waits for them stays small, and others go on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.server.plain_client import GUARD, ask, plain, receive, send

pytestmark = [pytest.mark.slow, pytest.mark.loop]

VALUE = "x" * 100_000
KEPT_AT_MOST = 16 * 1024 * 1024
# Small beside what it asks for, and large enough to fill the system's buffers in a moment.
READ = json.dumps({"KV_GET": {"keys": ["a"]}}).ljust(500)


@pytest.fixture
async def impatient() -> AsyncIterator[NdbServer]:
    """A server that cuts a client off soon, and has a value that is worth reading."""
    options = ServerOptions(port=0, send_timeout=0.2)
    async with (
        NdbServer(Engine(MemoryStore()), options) as server,
        plain(server) as websocket,
    ):
        await ask(websocket, "KV_SET", keys={"a": VALUE})
        yield server


@pytest.fixture
def traced_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def send_without_reading(server: NdbServer) -> None:
    """Send until cut off: with one frame queued, websockets reads no more from the socket."""
    async with plain(server, max_queue=1, ping_interval=None, compression=None) as websocket:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await websocket.send(READ)


async def test_a_client_that_stops_reading_is_cut_off(impatient: NdbServer) -> None:
    async with asyncio.timeout(GUARD):
        await send_without_reading(impatient)


async def test_others_are_answered_while_a_client_does_not_read(impatient: NdbServer) -> None:
    async with asyncio.timeout(GUARD), plain(impatient) as other:
        unread = asyncio.create_task(send_without_reading(impatient))
        answered = 0
        while not unread.done():
            assert (await ask(other, "KV_COUNT"))["cnt"] == 1
            answered += 1
        await unread
        assert answered > 10
        assert (await ask(other, "KV_GET", keys=["a"]))["keys"] == {"a": VALUE}


@pytest.mark.usefixtures("traced_memory")
async def test_what_waits_for_a_client_that_does_not_read_stays_small(impatient: NdbServer) -> None:
    async with asyncio.timeout(GUARD):
        tracemalloc.reset_peak()
        await send_without_reading(impatient)
    assert tracemalloc.get_traced_memory()[1] < KEPT_AT_MOST


async def test_a_client_that_reads_late_but_in_time_gets_every_answer_in_order() -> None:
    async with (
        asyncio.timeout(GUARD),
        NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server,
        plain(server, max_queue=1, compression=None) as websocket,
    ):
        await ask(websocket, "KV_SET", keys={f"key{number}": f"{number} " * 10_000 for number in range(10)})
        # More than the system's own buffers take, so that the server has to wait for the reader.
        for number in range(200):
            await send(websocket, "KV_GET", keys=[f"key{number % 10}"])
        for number in range(200):
            name = f"key{number % 10}"
            assert (await receive(websocket))["KV_GET_RSP"]["keys"] == {name: f"{number % 10} " * 10_000}


async def test_a_server_stops_soon_after_a_client_was_cut_off(impatient: NdbServer) -> None:
    async with asyncio.timeout(GUARD):
        await send_without_reading(impatient)
        await impatient.stop()
