"""The raw client against what people write without it: the same requests, to the same server.

- bare: websockets' `connect()` with ready-made frames and no parsing, one at a time or with 64 in flight.
- naive: a lock, `json.dumps`, `send`, `recv`, `json.loads`: how clients of such protocols are mostly written.
- ours: `NdbClient.kv_get`, which encodes, matches, checks and parses.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.harness import Side, compare, loop_factories, table
from benchmarks.servers import MeasuredServer
from ndb_models import NdbClient

KEY = "username"
FRAME = '{"KV_GET":{"keys":["username"]}}'
DEPTH = 64


def _bare_connection(uri: str) -> connect:
    return connect(uri, compression=None, proxy=None)


def bare_alone(requests: int) -> Callable[[str], Awaitable[float]]:
    """One request at a time."""

    async def run(uri: str) -> float:
        async with _bare_connection(uri) as websocket:
            started = time.perf_counter()
            for _ in range(requests):
                await websocket.send(FRAME)
                await websocket.recv()
            return requests / (time.perf_counter() - started)

    return run


def bare_pipeline(requests: int) -> Callable[[str], Awaitable[float]]:
    """As many in flight as there are tasks on the other side."""

    async def send(websocket: ClientConnection, room: asyncio.Semaphore) -> None:
        for _ in range(requests):
            await room.acquire()
            await websocket.send(FRAME)

    async def run(uri: str) -> float:
        async with _bare_connection(uri) as websocket:
            room = asyncio.Semaphore(DEPTH)
            started = time.perf_counter()
            sending = asyncio.create_task(send(websocket, room))
            for _ in range(requests):
                await websocket.recv()
                room.release()
            await sending
            return requests / (time.perf_counter() - started)

    return run


def bare_pipeline_inline(requests: int) -> Callable[[str], Awaitable[float]]:
    """The same without a second task: each answer makes room for the next request at once."""

    async def run(uri: str) -> float:
        async with _bare_connection(uri) as websocket:
            started = time.perf_counter()
            for _ in range(DEPTH):
                await websocket.send(FRAME)
            for received in range(requests):
                await websocket.recv()
                if received < requests - DEPTH:
                    await websocket.send(FRAME)
            return requests / (time.perf_counter() - started)

    return run


def naive(requests: int) -> Callable[[str], Awaitable[float]]:
    """64 tasks behind one lock."""

    async def run(uri: str) -> float:
        async with _bare_connection(uri) as websocket:
            lock = asyncio.Lock()

            async def get() -> object:
                async with lock:
                    await websocket.send(json.dumps({"KV_GET": {"keys": [KEY]}}))
                    return json.loads(await websocket.recv())["KV_GET_RSP"]["keys"]

            return await _from_tasks(get, requests, DEPTH)

    return run


def ours(requests: int, tasks: int) -> Callable[[str], Awaitable[float]]:
    """So many tasks on one client."""

    async def run(uri: str) -> float:
        async with NdbClient.connect(uri) as client:
            return await _reads(client, requests, tasks)

    return run


def ours_on_connections(requests: int, connections: int) -> Callable[[str], Awaitable[float]]:
    """64 tasks spread over so many connections."""

    async def run(uri: str) -> float:
        clients = [await NdbClient.connect(uri) for _ in range(connections)]
        try:
            started = time.perf_counter()
            await asyncio.gather(*(_reads(client, requests // connections, DEPTH // connections) for client in clients))
            return requests / (time.perf_counter() - started)
        finally:
            await asyncio.gather(*(client.close() for client in clients))

    return run


async def _reads(client: NdbClient, requests: int, tasks: int) -> float:
    return await _from_tasks(lambda: client.kv_get((KEY,)), requests, tasks)


async def _from_tasks(call: Callable[[], Awaitable[object]], requests: int, tasks: int) -> float:
    async def work() -> None:
        for _ in range(requests // tasks):
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return requests / (time.perf_counter() - started)


def bench(server: MeasuredServer, *, scale: float, rounds: int) -> None:
    """Run all comparisons."""
    few, many = int(4_000 * scale), int(19_200 * scale)
    asyncio.run(_store_value(server.uri))
    compare("One request at a time", [Side("bare", bare_alone(few)), Side("ours", ours(few, 1))], server.uri, rounds)
    compare(
        "64 in flight on one connection",
        [
            Side("bare", bare_pipeline_inline(many)),
            Side("bare, two tasks", bare_pipeline(many)),
            Side("naive", naive(few)),
            Side("ours", ours(many, DEPTH)),
        ],
        server.uri,
        rounds,
    )
    _server_by_connections(server, many, rounds)
    asyncio.run(_idle_connections(server))


def _server_by_connections(server: MeasuredServer, requests: int, rounds: int) -> None:
    """What the server does in a second (medians, in turn), and in a second of its own work, which is one core's."""
    counts = (1, 8, 64)
    for loop_name, factory in loop_factories().items():
        rates: dict[int, list[float]] = {count: [] for count in counts}
        worked: dict[int, float] = dict.fromkeys(counts, 0.0)
        for _ in range(rounds):
            for count in counts:
                before = server.cpu_seconds() or 0.0
                with asyncio.Runner(loop_factory=factory) as runner:
                    rates[count].append(runner.run(_rate(ours_on_connections(requests, count), server.uri)))
                worked[count] += (server.cpu_seconds() or 0.0) - before
        rows = [
            (
                f"{count} connections",
                f"{statistics.median(rates[count]):,.0f}",
                f"{requests * rounds / worked[count]:,.0f}" if worked[count] else "",
            )
            for count in counts
        ]
        table(f"The server, 64 tasks with our client ({loop_name})", ("over", "requests/s", "per core"), rows)


async def _rate(run: Callable[[str], Awaitable[float]], uri: str) -> float:
    return await run(uri)


async def _store_value(uri: str) -> None:
    async with NdbClient.connect(uri) as client:
        await client.kv_set({KEY: "billy" * 10})


async def _idle_connections(server: MeasuredServer, count: int = 500) -> None:
    before = server.resident_bytes()
    if before is None:
        return
    clients = [await NdbClient.connect(server.uri) for _ in range(count)]
    after = server.resident_bytes() or before
    await asyncio.gather(*(client.close() for client in clients))
    table(
        "Memory of the server",
        ("what", "bytes"),
        [(f"for each of {count} idle connections", f"{(after - before) / count:,.0f}")],
    )
