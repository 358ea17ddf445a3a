"""The repository against the same frames without it, against Redis, and against Pydantic alone.

What is measured is to save a new session of six fields and to get it back, validation on both ways included.

- bare: the two frames of that (`SH_NEW_SET`, `SH_GET`), ready-made, over websockets, no parsing, no validation.
- bare, three: the frames that a NemesisDB takes for it (`SH_NEW`, `SH_SET`, `SH_GET`), in the same way.
- ours, three: ours with those frames, as against a NemesisDB.
- redis-py: what one writes by hand: `SET` of `model_dump_json()` with an expiry, `GETEX`, `model_validate_json()`.
- redis-om: a `HashModel` with an expiry.
- pydantic: `model_dump_json()` and `model_validate_json()`, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from benchmarks.harness import Side, compare, seconds_bare, table
from benchmarks.servers import MeasuredServer, redis_server
from ndb_models import Expiry, NdbClient, Repository, SessionModel
from ndb_models.protocol.commands import COMMANDS

IDLE = 1800
DEPTH = 64
REDIS_TASKS = 50
SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Plain(BaseModel):
    """Six fields, as a session has them."""

    username: str
    email: str
    roles: list[str]
    visits: int
    ratio: float
    since: datetime


class Measured(Plain, SessionModel, expiry=Expiry(idle=IDLE)):
    """The same as a session."""


def measured(visits: int) -> Measured:
    """Return an example."""
    return Measured(username="billy", email="billy@example.org", roles=["admin"], visits=visits, ratio=0.5, since=SINCE)


async def _in_tasks(work: Callable[[int], Awaitable[object]], operations: int, tasks: int) -> float:
    async def task(first: int) -> None:
        for number in range(first, operations, tasks):
            await work(number)

    started = time.perf_counter()
    await asyncio.gather(*(task(first) for first in range(tasks)))
    return operations / (time.perf_counter() - started)


def ours(operations: int, tasks: int, *, whole: bool = True) -> Callable[[str], Awaitable[float]]:
    """Save and get, from so many tasks on one client; not `whole` as against a NemesisDB."""

    async def run(uri: str) -> float:
        async with NdbClient.connect(uri) as client:
            if not whole:
                client.note_unknown(COMMANDS["SH_NEW_SET"])
            repo = Repository(client, Measured)
            models = [measured(number) for number in range(operations)]

            async def save_and_get(number: int) -> None:
                session = await repo.save(models[number])
                await repo.get(session.tkn)

            return await _in_tasks(save_and_get, operations, tasks)

    return run


async def _frames(uri: str, operations: int, *, whole: bool) -> list[str]:
    """Return the frames of so many saves and gets."""
    async with NdbClient.connect(uri) as client:
        session = await Repository(client, Measured).save(measured(0))
        keys = await client.sh_get([*Measured.model_fields, "__ndb__"], session.tkn)
    expiry = {"duration": IDLE, "deleteSession": True, "extendOnSetAdd": True, "extendOnGet": True}
    frames: list[dict[str, object]] = []
    for _ in range(operations):
        tkn = secrets.randbits(64) if whole else session.tkn
        if whole:
            frames.append({"SH_NEW_SET": {"tkn": tkn, "expiry": expiry, "keys": keys}})
        else:
            frames.append({"SH_NEW": {"expiry": expiry}})
            frames.append({"SH_SET": {"tkn": tkn, "keys": keys}})
        frames.append({"SH_GET": {"tkn": tkn, "keys": list(keys)}})
    return [json.dumps(frame, separators=(",", ":")) for frame in frames]


def bare(operations: int, depth: int, *, whole: bool = True) -> Callable[[str], Awaitable[float]]:
    """The same frames, so many in flight."""

    async def run(uri: str) -> float:
        frames = await _frames(uri, operations, whole=whole)
        return operations / await seconds_bare(uri, frames, depth)

    return run


def redis_by_hand(operations: int) -> Callable[[str], Awaitable[float]]:
    """redis-py and Pydantic, as one writes it."""

    async def run(uri: str) -> float:
        from redis.asyncio import Redis

        async with Redis.from_url(uri) as redis:
            models = [measured(number) for number in range(operations)]

            async def save_and_get(number: int) -> None:
                token = secrets.token_hex(8)
                await redis.set(f"session:{token}", models[number].model_dump_json(), ex=IDLE)
                Plain.model_validate_json(await redis.getex(f"session:{token}", ex=IDLE))

            return await _in_tasks(save_and_get, operations, REDIS_TASKS)

    return run


def redis_om(operations: int) -> Callable[[str], Awaitable[float]]:
    """redis-om-python, as its documentation has it."""

    async def run(uri: str) -> float:
        from redis.asyncio import Redis

        async with Redis.from_url(uri, decode_responses=True) as redis:
            return await _with_redis_om(redis, operations)

    return run


async def _with_redis_om(redis: Any, operations: int) -> float:
    from aredis_om import HashModel

    class OmSession(HashModel, index=True):
        username: str
        email: str
        visits: int
        ratio: float
        since: datetime
        roles: str

        class Meta:
            database = redis

    async def save_and_get(number: int) -> None:
        example = measured(number)
        session = OmSession(**example.model_dump(exclude={"roles"}), roles=",".join(example.roles))
        await session.save()
        await session.expire(IDLE)
        await OmSession.get(session.pk)

    return await _in_tasks(save_and_get, operations, REDIS_TASKS)


def pydantic_alone(operations: int) -> Callable[[str], Awaitable[float]]:
    """Pydantic's own dump and validate."""

    async def run(_uri: str) -> float:
        models = [measured(number) for number in range(operations)]
        started = time.perf_counter()
        for model in models:
            Measured.model_validate_json(model.model_dump_json())
        return operations / (time.perf_counter() - started)

    return run


def ours_in_process(operations: int) -> Callable[[str], Awaitable[float]]:
    """The repository on the engine in this process; the models are made before."""

    async def run(_uri: str) -> float:
        async with NdbClient.connect("memory://") as client:
            repo = Repository(client, Measured)
            models = [measured(number) for number in range(operations)]
            started = time.perf_counter()
            for model in models:
                session = await repo.save(model)
                await repo.get(session.tkn)
            return operations / (time.perf_counter() - started)

    return run


def bench(server: MeasuredServer, *, scale: float, rounds: int) -> None:
    """Run all comparisons."""
    few, many = max(DEPTH, int(1_500 * scale)), max(DEPTH, int(6_400 * scale))
    # What takes a tenth of a second or two has more rounds: a shared machine may be busy in some and not in others.
    short = 3 * rounds
    for title, operations, depth, times in (("one at a time", few, 1, rounds), ("64 in flight", many, DEPTH, short)):
        compare(
            f"Save and get, {title}",
            [Side("bare", bare(operations, depth)), Side("ours", ours(operations, depth))],
            server.uri,
            times,
        )
        compare(
            f"Save and get as of a NemesisDB, {title}",
            [
                Side("bare, three", bare(operations, depth, whole=False)),
                Side("ours, three", ours(operations, depth, whole=False)),
            ],
            server.uri,
            times,
        )
    compare(
        "Save and get, in this process",
        [Side("pydantic", pydantic_alone(many)), Side("ours", ours_in_process(many))],
        "memory://",
        short,
    )
    _bench_redis(server, 3 * few, rounds)
    asyncio.run(_bulk(scale))


def _bench_redis(server: MeasuredServer, operations: int, rounds: int) -> None:
    with redis_server() as redis_uri:
        if redis_uri is None:
            table("Save and get, 50 tasks, against Redis", ("side", ""), [("not measured", "pip install .[bench]")])
            return

        def at(side: Callable[[str], Awaitable[float]]) -> Callable[[str], Awaitable[float]]:
            return lambda _uri: side(redis_uri)

        compare(
            "Save and get, 50 tasks, against Redis",
            [
                Side("redis-py", at(redis_by_hand(operations))),
                Side("redis-om", at(redis_om(operations))),
                Side("ours", ours(operations, REDIS_TASKS)),
            ],
            server.uri,
            rounds,
        )


async def _bulk(scale: float) -> None:
    """Save and get many at once: time and memory for each, which must not grow with their number."""
    rows = []
    for count in (int(10_000 * scale), int(100_000 * scale)):
        async with NdbClient.connect("memory://") as client:
            repo = Repository(client, Measured)
            models = [measured(number) for number in range(count)]
            started = time.perf_counter()
            saved = await repo.save_many(models)
            tokens = [session.tkn for session in saved if isinstance(session, Measured)]
            saved_in = time.perf_counter() - started
            tracemalloc.start()
            started = time.perf_counter()
            read = await repo.get_many(tokens)
            read_in = time.perf_counter() - started
            size, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert len(read) == count
            microseconds = [f"{seconds / count * 1e6:.1f}" for seconds in (saved_in, read_in)]
            rows.append((f"{count:,} sessions", *microseconds, f"{size / count:,.0f}"))
    head = ("how many", "save_many, us each", "get_many, us each (traced)", "bytes each, of what was read")
    table("Many at once, in this process", head, rows)
