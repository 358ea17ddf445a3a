"""The driver on servers that work: every kind of single server, and a cluster."""

from __future__ import annotations

import asyncio
import random
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ndb_models.errors import StoreError, StoreFullError, StoreUnreachableError
from ndb_models.stores.redis.driver import Driver
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.redis.slot_map import SLOTS, slot_of
from tests.redis_driver.conftest import opened
from tests.redis_driver.scripts import BROKEN, ECHO, GET, INCREMENT, SET
from tests.redis_servers import Servers, redis_7, valkey

if TYPE_CHECKING:
    from tests.redis_servers import Shared

TLS = Path(__file__).parent.parent / "transport" / "tls"


async def test_a_script_runs_where_its_key_is(driver: Driver, key: bytes) -> None:
    for number in range(30):
        each = b"%b:{%d}" % (key, number)
        assert await driver.run(SET, each, [each], [b"%d" % number]) == b"%d" % number
        assert await driver.run(GET, each, [each], []) == b"%d" % number
    assert await driver.run(GET, key, [key + b":missing"], []) is None


async def test_a_server_that_forgot_its_scripts_gets_them_again(driver: Driver, key: bytes) -> None:
    await driver.run(SET, key, [key], [b"1"])
    for node in await driver.masters():
        await node.command(b"SCRIPT", b"FLUSH")
    together = [driver.run(SET, key, [key], [b"%d" % number]) for number in range(20)]
    assert await asyncio.gather(*together) == [b"%d" % number for number in range(20)]


async def test_a_command_goes_to_its_slot_and_to_a_node(driver: Driver, key: bytes) -> None:
    await driver.command(b"SET", key, b"value", slot_key=key)
    assert await driver.command(b"GET", key, slot_key=key, writes=False) == b"value"
    nodes = await driver.masters()
    assert [await node.command(b"PING") for node in nodes] == [b"PONG"] * len(nodes)
    assert [await node.run(ECHO, [b"x"]) for node in nodes] == [b"x"] * len(nodes)
    slots = sorted(slot for node in nodes for first, last in node.slots for slot in range(first, last + 1))
    assert slots == [*range(SLOTS)]


async def test_the_slot_of_a_key_is_the_cluster_s(redis_servers: Shared) -> None:
    chance = random.Random(1)
    async with opened(redis_servers.cluster["valkey"]) as driver:
        keys = [bytes(chance.choices(b"ab{}:", k=chance.randint(0, 12))) for _ in range(200)]
        told = [await driver.command(b"CLUSTER", b"KEYSLOT", key, writes=False) for key in keys]
    assert [slot_of(key) for key in keys] == told


@pytest.mark.loop
async def test_a_cancelled_caller_never_leaves_its_reply_to_another(driver: Driver, key: bytes) -> None:
    chance = random.Random(2)

    async def echo(number: int) -> bool:
        text = b"%d:" % number + b"x" * chance.choice([10, 10, 100_000])
        reply: bytes = await driver.run(ECHO, b"%b{%d}" % (key, number % 7), [], [text])
        return reply == text

    for _ in range(20):
        tasks = [asyncio.create_task(echo(number)) for number in range(60)]
        await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
        cancelled = [task for task in tasks if chance.random() < 0.5 and task.cancel()]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for task, result in zip(tasks, results, strict=True):
            assert isinstance(result, asyncio.CancelledError) if task in cancelled else result is True


async def test_a_failed_script_says_that_it_may_have_written_and_shows_no_value(driver: Driver, key: bytes) -> None:
    with pytest.raises(StoreError, match="broken failed") as failure:
        await driver.run(BROKEN, key, [key], [b"a-secret-value"])
    assert failure.value.maybe_done
    assert "a-secret-value" not in f"{failure.value} {failure.value.__cause__} {failure.value.__context__}"


async def test_a_full_server_raises_by_its_name_and_is_usable_again(key: bytes) -> None:
    for program in filter(None, (valkey(), redis_7())):
        with Servers() as servers:
            server = servers.start(program, "--maxmemory-policy", "noeviction")
            async with opened(server.uri) as driver:
                with server.link() as link:
                    link("CONFIG", "SET", "maxmemory", "1")
                    with pytest.raises(StoreFullError) as failure:
                        await driver.run(SET, key, [key], [b"x"])
                    assert not failure.value.maybe_done
                    assert await driver.run(GET, key, [key], []) is None
                    link("CONFIG", "SET", "maxmemory", "0")
                await driver.run(SET, key, [key], [b"x"])


async def test_user_password_and_database_are_used(key: bytes) -> None:
    program = valkey()
    assert program is not None
    with Servers() as servers:
        server = servers.start(program)
        with server.link() as link:
            link("ACL", "SETUSER", "app", "on", ">s#cret", "~*", "+@all")
            link("ACL", "SETUSER", "default", "off")
        uri = f"redis://app:s%23cret@127.0.0.1:{server.port}/3"
        async with opened(uri) as driver:
            await driver.run(SET, key, [key], [b"x"])
            assert b"db3" in await driver.command(b"INFO", b"keyspace")
        with server.link() as link:
            link("AUTH", "app", "s#cret")
            link("ACL", "SETUSER", "app", "-@dangerous")
        async with opened(uri) as driver:  # a user who must not ask for INFO
            assert await driver.run(GET, key, [key], []) == b"x"
        for wrong in (f"redis://app:wrong@127.0.0.1:{server.port}", f"redis://127.0.0.1:{server.port}"):
            with pytest.raises(StoreError, match="password") as failure:
                async with opened(wrong):
                    pass
            assert "wrong" not in str(failure.value)


async def test_the_uri_says_whether_it_is_a_cluster(redis_servers: Shared) -> None:
    with pytest.raises(StoreError, match=r"use redis\+cluster://"):
        async with opened(redis_servers.cluster["valkey"].replace("+cluster", "").partition(",")[0]):
            pass
    with pytest.raises(StoreError, match="use redis://"):
        async with opened(redis_servers.single["valkey"].replace("redis:", "redis+cluster:")):
            pass


async def test_one_reachable_node_of_those_named_is_enough(redis_servers: Shared, key: bytes) -> None:
    node = redis_servers.cluster["valkey"].rpartition(",")[2]
    async with opened(f"redis+cluster://127.0.0.1:1,{node}") as driver:
        await driver.run(SET, key, [key], [b"x"])


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_opening_fails_at_once_where_no_server_is(scheme: str) -> None:
    async with asyncio.timeout(28):
        with pytest.raises(StoreUnreachableError, match=r"127\.0\.0\.1:1"):
            async with opened(f"{scheme}://user:secret@127.0.0.1:1?timeout=30"):
                pass


async def test_a_closed_driver_says_so_and_may_be_closed_twice(uri: str, key: bytes) -> None:
    async with opened(uri) as driver:
        pass
    await driver.aclose()
    with pytest.raises(StoreError, match="not open"):
        await driver.run(SET, key, [key], [b"x"])


@pytest.mark.loop
async def test_closing_lets_requests_that_were_sent_finish(uri: str, key: bytes) -> None:
    async with opened(uri) as driver:
        requests = [asyncio.create_task(driver.run(INCREMENT, key, [key], [])) for _ in range(20)]
        await driver.run(GET, key, [key], [])
    assert sorted(await asyncio.gather(*requests)) == [*range(1, 21)]


@pytest.mark.loop
async def test_tls_is_spoken_and_certificates_are_checked(key: bytes) -> None:
    program = redis_7()
    if program is None:
        pytest.skip("there is no redis-server with TLS here")
    certificate, private = str(TLS / "certificate.pem"), str(TLS / "key.pem")
    with Servers() as servers:
        plain = servers.start(program, "--tls-cert-file", certificate, "--tls-key-file", private)
        with plain.link() as link:
            link("CONFIG", "SET", "tls-auth-clients", "no")
            link("CONFIG", "SET", "tls-port", str(plain.port + 10000))
        uri = f"rediss://127.0.0.1:{plain.port + 10000}"
        async with opened(f"{uri}?tls_ca={certificate}") as driver:
            await driver.run(SET, key, [key], [b"x" * 100_000])
            assert await driver.run(GET, key, [key], []) == b"x" * 100_000
        with pytest.raises(StoreUnreachableError, match="TLS failed"):
            async with opened(uri):
                pass
        trusting = Driver(parse_redis_uri(uri), tls=ssl.create_default_context(cafile=certificate))
        await trusting.open()
        await trusting.aclose()
