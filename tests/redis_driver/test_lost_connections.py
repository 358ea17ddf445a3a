"""What the driver does when connections are lost, servers hang, and answers go missing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from ndb_models.errors import StoreUnreachableError
from tests.redis_driver.conftest import opened
from tests.redis_driver.peers import fake_server, proxy_to
from tests.redis_driver.scripts import ADD_ONCE, ECHO, GET, INCREMENT, SET
from tests.redis_servers import Link, Servers, valkey

if TYPE_CHECKING:
    from tests.redis_servers import Shared

# How connections end is the event loop's affair.
pytestmark = pytest.mark.loop


@pytest.fixture
def server_uri(redis_servers: Shared) -> str:
    return redis_servers.single["valkey"]


def stored(uri: str, key: bytes) -> bytes:
    """Return what the server has at a key."""
    with Link(int(uri.rpartition(":")[2])) as link:
        value: str = link("GET", key)
        return value.encode()


async def until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - it watches a peer, which has no event
            await asyncio.sleep(0.005)


async def test_an_idempotent_script_is_repeated_and_counts_once(server_uri: str, key: bytes) -> None:
    async with proxy_to(server_uri) as (proxy, uri), opened(uri) as driver:
        await driver.run(ADD_ONCE, key, [key, key + b":0"], [b"0"])  # the server has the script from here on
        proxy.deaf = True
        adding = asyncio.create_task(driver.run(ADD_ONCE, key, [key, key + b":1"], [b"5"]))
        await until(lambda: stored(server_uri, key) == b"5")
        proxy.deaf = False
        proxy.cut()
        assert await adding == 5
        assert await driver.run(GET, key, [key], []) == b"5"


async def test_a_script_that_is_not_idempotent_is_not_repeated_and_the_error_says_so(
    server_uri: str, key: bytes
) -> None:
    async with proxy_to(server_uri) as (proxy, uri), opened(uri) as driver:
        assert await driver.run(INCREMENT, key, [key], []) == 1
        proxy.deaf = True
        incrementing = asyncio.create_task(driver.run(INCREMENT, key, [key], []))
        await until(lambda: stored(server_uri, key) == b"2")
        proxy.deaf = False
        proxy.cut()
        with pytest.raises(StoreUnreachableError, match="may or may not") as failure:
            await incrementing
        assert failure.value.maybe_done
        assert await driver.run(GET, key, [key], []) == b"2"


async def test_what_was_not_sent_waits_for_the_server_to_come_back(key: bytes) -> None:
    program = valkey()
    assert program is not None
    with Servers() as servers:
        server = servers.start(program)
        async with opened(server.uri) as driver:
            servers.kill(server)
            await asyncio.sleep(0.05)
            incrementing = [asyncio.create_task(driver.run(INCREMENT, key, [key], [])) for _ in range(10)]
            await asyncio.sleep(0.2)
            await asyncio.to_thread(servers.restart, server)
            assert sorted(await asyncio.gather(*incrementing)) == [*range(1, 11)]


async def test_an_abandoned_request_is_not_carried_out_after_a_later_one(server_uri: str, key: bytes) -> None:
    async with proxy_to(server_uri) as (proxy, uri), opened(f"{uri}?attempt_timeout=0.1") as driver:
        assert await driver.run(SET, key, [key], [b"first"]) == b"first"
        proxy.holds = True
        setting = asyncio.create_task(driver.run(SET, key, [key], [b"old"]))
        connections = proxy.connections
        await until(lambda: proxy.connections > connections)
        proxy.holds = False  # what was sent over the first connection is still on its way
        assert await setting == b"old"
        assert await driver.run(SET, key, [key], [b"new"]) == b"new"
        proxy.release()
        await asyncio.sleep(0.05)
        assert await driver.run(GET, key, [key], []) == b"new"


async def test_a_server_that_hangs_for_a_while_costs_no_error(key: bytes) -> None:
    program = valkey()
    assert program is not None
    with Servers() as servers:
        server = servers.start(program)
        async with opened(f"{server.uri}?attempt_timeout=0.2") as driver:
            server.hang()
            adding = [
                asyncio.create_task(driver.run(ADD_ONCE, key, [key, b"%b:%d" % (key, number)], [b"1"]))
                for number in range(20)
            ]
            await asyncio.sleep(0.7)
            server.wake()
            await asyncio.gather(*adding)
            assert await driver.run(GET, key, [key], []) == b"20"


async def test_the_deadline_holds_and_an_outage_that_is_older_fails_at_once(key: bytes) -> None:
    program = valkey()
    assert program is not None
    with Servers() as servers:
        server = servers.start(program)
        async with opened(f"{server.uri}?attempt_timeout=0.2&timeout=2") as driver:
            server.hang()
            started = time.monotonic()
            with pytest.raises(StoreUnreachableError, match=r"within 2(\.0)? s") as failure:
                await driver.run(SET, key, [key], [b"x"])
            assert failure.value.maybe_done
            assert 1.9 < time.monotonic() - started < 10
            await asyncio.sleep(0.5)
            started = time.monotonic()
            with pytest.raises(StoreUnreachableError) as failure:
                await driver.run(SET, key, [key], [b"x"])
            assert not failure.value.maybe_done
            assert time.monotonic() - started < 1
            server.wake()
            async with asyncio.timeout(30):
                while True:  # it fails at once until the server is found to be back
                    with contextlib.suppress(StoreUnreachableError):
                        await driver.run(SET, key, [key], [b"x"])
                        return
                    await asyncio.sleep(0.05)


async def test_an_event_loop_that_was_held_up_takes_no_server_for_hung(server_uri: str, key: bytes) -> None:
    async with proxy_to(server_uri) as (proxy, uri), opened(f"{uri}?attempt_timeout=0.4") as driver:
        await driver.run(INCREMENT, key, [key], [])
        connections = proxy.connections
        incrementing = asyncio.create_task(driver.run(INCREMENT, key, [key], []))
        await asyncio.sleep(0)
        time.sleep(0.8)  # noqa: ASYNC251 - it holds the loop up
        assert await incrementing == 2
        assert proxy.connections == connections


@pytest.mark.parametrize("code", ["LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "MASTERDOWN", "NOREPLICAS"])
async def test_a_server_that_is_not_ready_is_asked_again(code: str) -> None:
    asked = 0

    def respond(command: Sequence[bytes]) -> bytes:
        nonlocal asked
        asked += 1
        return b"-%b not now\r\n" % code.encode() if asked < 3 else b":%d\r\n" % asked

    async with fake_server(respond) as uri, opened(uri) as driver:
        assert await driver.run(INCREMENT, b"key", [b"key"], []) == 3


async def test_servers_that_send_each_other_the_client_are_not_asked_without_end() -> None:
    asked = 0

    def respond(command: Sequence[bytes]) -> bytes:
        nonlocal asked
        asked += 1
        return b"-MOVED 1 127.0.0.1:%d\r\n" % port

    async with fake_server(respond) as uri, opened(f"{uri}?timeout=0.5") as driver:
        port = int(uri.rpartition(":")[2])
        failures: list[StoreUnreachableError] = []
        while len(failures) < 10 and not any("keep moving" in str(failure) for failure in failures):
            # On a busy machine time may be up while an answer is due, or before it is noticed.
            with pytest.raises(StoreUnreachableError) as failed:
                await driver.run(INCREMENT, b"key", [b"key"], [])
            failures.append(failed.value)
        assert "keep moving" in str(failures[-1])
        assert not failures[-1].maybe_done
        assert asked < 20 * len(failures)


async def test_a_peer_that_does_not_speak_the_protocol_is_given_up() -> None:
    async with fake_server(lambda _: b"?nonsense\r\n") as uri, opened(f"{uri}?timeout=0.3") as driver:
        with pytest.raises(StoreUnreachableError):
            await driver.run(ECHO, b"key", [], [b"x"])


async def test_a_reply_that_was_not_asked_for_ends_the_connection() -> None:
    replies = iter([b"+mine\r\n+another\r\n", b"+mine too\r\n"])
    async with fake_server(lambda _: next(replies)) as uri, opened(uri) as driver:
        assert await driver.run(ECHO, b"key", [], [b"x"]) == b"mine"
        assert await driver.run(ECHO, b"key", [], [b"x"]) == b"mine too"


async def test_a_cancelled_request_that_was_not_sent_is_never_carried_out(key: bytes) -> None:
    program = valkey()
    assert program is not None
    with Servers() as servers:
        server = servers.start(program)
        async with opened(server.uri) as driver:
            servers.kill(server)
            await asyncio.sleep(0.05)
            setting = asyncio.create_task(driver.run(SET, key, [key], [b"x"]))
            await asyncio.sleep(0.05)
            setting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await setting
            await asyncio.to_thread(servers.restart, server)
            assert await driver.run(GET, key, [key], []) is None
