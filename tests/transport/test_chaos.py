"""A hundred thousand requests through a bad network to a bad server: nobody ever gets what is another's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable
from typing import Any, Final

import pytest

from ndb_models import NdbClient
from ndb_models.errors import NdbError
from tests.transport import chaos, faulty_server
from tests.transport.chaos import ChaosProxy
from tests.transport.faulty_server import FaultyServer

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

SEED: Final = 20_260_101
REQUESTS: Final = 100_000
TASKS: Final = 64
# What times out in one connection keeps only its own tasks waiting.
CLIENTS: Final = 8
NAMES: Final = [f"key{number}" for number in range(500)]
REQUEST_TIMEOUT: Final = 0.1
AT_LEAST: Final = 200
LONGEST: Final = 300

# Of all chunks of bytes, each way.
NETWORK: Final = {chaos.DELAY: 0.02, chaos.SPLIT: 0.02, chaos.CUT: 0.009, chaos.BLACK_HOLE: 0.009}
# Of all answers.
SERVER: Final = {
    faulty_server.LOSE: 0.005,
    faulty_server.SWAP: 0.008,
    faulty_server.REPEAT: 0.006,
    faulty_server.INVENT: 0.006,
    faulty_server.STALL: 0.005,
}


def value_of(key: str) -> str:
    """Return what is stored for a key: it names the key, and some are large enough for the window to shrink."""
    number = int(key.removeprefix("key"))
    return f"the value of {key}" + "." * (number % 20 * 40 if number % 50 else 9_000)


class Load:
    """Calls of all kinds, given up on in all ways, and how each of them ended."""

    def __init__(self, seed: int) -> None:
        self.begun = 0
        self.ends: Counter[str] = Counter()
        self._random = random.Random(seed)

    async def run(self, client: NdbClient) -> None:
        """Make calls one after the other, until there were enough in all."""
        while self.begun < REQUESTS:
            self.begun += 1
            self.ends[await self._end_of_a_call(client)] += 1

    async def _end_of_a_call(self, client: NdbClient) -> str:
        key = self._random.choice(NAMES)
        way = self._random.random()
        try:
            if way < 0.02:
                return await self._cancelled(self._call(client, key))
            if way < 0.03:
                async with asyncio.timeout(self._random.uniform(0, 0.02)):
                    return await self._call(client, key)
            return await self._call(client, key)
        except (NdbError, TimeoutError) as exc:
            return type(exc).__name__

    async def _call(self, client: NdbClient, key: str) -> str:
        """Make a call and look at what it returns."""
        kind = self._random.random()
        if kind < 0.45:
            assert await client.kv_get((key,)) == {key: value_of(key)}
        elif kind < 0.65:
            assert await client.kv_contains((key,)) == [key]
        else:
            assert await client.kv_set({key: value_of(key)})
        return "right"

    async def _cancelled(self, call: Awaitable[str]) -> str:
        """Cancel a call after some turns of the loop, from before it was sent to after it has ended."""
        task = asyncio.ensure_future(call)
        for _ in range(self._random.randrange(20)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        return "CancelledError" if task.cancelled() else task.result()


async def survive(load: Load, server: FaultyServer, proxy: ChaosProxy) -> None:
    """Make all calls, and see that all clients work when the faults are over."""
    await server.engine.handle(json.dumps({"KV_SET": {"keys": {key: value_of(key) for key in NAMES}}}).encode())
    options: dict[str, Any] = {"request_timeout": REQUEST_TIMEOUT, "open_timeout": 1, "keepalive": None}
    clients = [await NdbClient.connect(proxy.uri, **options) for _ in range(CLIENTS)]
    await asyncio.gather(*(load.run(clients[number % CLIENTS]) for number in range(TASKS)))
    proxy.calm()
    server.calm()
    for client in clients:
        assert await counted(client) == len(NAMES)
        await client.close()


async def counted(client: NdbClient) -> int:
    """Return the number of keys, as soon as the client is answered again."""
    for _ in range(99):
        # The connection may have been swallowed, and on a busy machine an answer may take as long as a request may.
        with contextlib.suppress(NdbError):
            return await client.kv_count()
    return await client.kv_count()


async def test_no_call_gets_anothers_answer_and_every_call_ends(capsys: pytest.CaptureFixture[str]) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    load = Load(SEED)
    start = time.perf_counter()
    async with (
        asyncio.timeout(LONGEST),
        FaultyServer(seed=SEED, faults=SERVER, longest_stall=2 * REQUEST_TIMEOUT) as server,
        ChaosProxy(server.port, seed=SEED, faults=NETWORK) as proxy,
    ):
        await survive(load, server, proxy)
    faults = proxy.counts + server.counts
    with capsys.disabled():
        sys.stdout.write(
            f"\n{load.begun} calls in {time.perf_counter() - start:.1f} s, {proxy.connections} connections,"
            f" {server.answered} requests at the server\n  ends: {dict(load.ends)}\n  faults: {dict(faults)}\n"
        )
    assert load.begun == sum(load.ends.values()) >= REQUESTS
    assert load.ends["right"] > REQUESTS * 0.8
    assert all(faults[fault] >= AT_LEAST for fault in (*NETWORK, *SERVER)), faults
    gc.collect()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert complaints == []
