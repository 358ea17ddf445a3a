"""Closing in the middle of things, twice, or never."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Awaitable
from typing import Any

import pytest
from websockets.asyncio.client import connect

from ndb_models import NdbClient
from ndb_models.client.attempt_limits import AttemptLimits
from ndb_models.client.attempts import Attempt
from ndb_models.client.connection import NdbConnection
from ndb_models.errors import ConnectionLostError, NotConnectedError, RequestTimeoutError
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Prepared
from tests.transport.chaos import ChaosProxy
from tests.transport.servers import GUARD, Host, deadly, honest, mute


async def test_closing_fails_what_is_in_flight_and_what_waits_to_be_sent() -> None:
    async with asyncio.timeout(GUARD), Host(mute) as host:
        client = await NdbClient.connect(host.uri)
        # A new connection takes one request at a time: the others have not been sent.
        calls = [asyncio.create_task(client.kv_get(("a",))) for _ in range(5)]
        await host.received(1)
        await client.close()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [(type(end), getattr(end, "maybe_done", None)) for end in ends] == [
            (ConnectionLostError, number == 0) for number in range(5)
        ]
        await host.left()
        assert host.handshakes == 1


async def test_a_request_handed_to_a_connection_that_was_lost_is_overdue_in_its_time() -> None:
    made: Any = functools.partial(
        NdbConnection,
        max_in_flight=64,
        request_timeout=0.1,
        max_answer=1024,
        limits=AttemptLimits(5.0),
        on_failure=lambda _connection, attempt, error: attempt.fail(error),
        on_unusable=lambda _connection: None,
    )
    loop = asyncio.get_running_loop()

    def count(connection: NdbConnection, seconds: float) -> Awaitable[bytes]:
        exchange = Prepared(COMMANDS["KV_COUNT"]).to_frame()
        attempt = Attempt(exchange, loop.time() + seconds, future=loop.create_future())
        connection.submit(attempt)
        return attempt.future

    async with asyncio.timeout(GUARD), Host() as host:
        connection = await connect(host.uri, create_connection=made, compression=None, proxy=None)
        assert isinstance(connection, NdbConnection)
        assert (await count(connection, GUARD)).startswith(b'{"KV_COUNT_RSP":')
        connection.transport.abort()
        await connection.wait_closed()
        with pytest.raises(RequestTimeoutError) as caught:
            await count(connection, 0.1)
        assert not caught.value.maybe_done


async def test_closing_twice_or_by_two_at_once_does_no_harm() -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        client = await NdbClient.connect(host.uri)
        await asyncio.gather(client.close(), client.close())
        await client.close()
        await host.left()
        with pytest.raises(NotConnectedError):
            await client.kv_count()


@pytest.mark.parametrize("turns", range(8))
async def test_a_close_that_is_cancelled_closes_all_the_same(turns: int) -> None:
    async with asyncio.timeout(GUARD), Host(mute) as host:
        client = await NdbClient.connect(host.uri)
        call = asyncio.create_task(client.kv_get(("a",)))
        await host.received(1)
        closing = asyncio.create_task(client.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait((closing,))
        await client.close()
        with pytest.raises(ConnectionLostError):
            await call
        await host.left()


async def test_a_close_that_is_cancelled_while_the_network_is_gone_lets_go_of_the_connection() -> None:
    async with asyncio.timeout(GUARD), Host() as host, ChaosProxy(host.port) as proxy:
        client = await NdbClient.connect(proxy.uri)
        proxy.swallow_all()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.close()
        await proxy.left()
        await client.close()


async def test_a_client_can_be_closed_by_a_task_that_was_just_answered() -> None:
    async def close_after(client: NdbClient) -> None:
        await client.kv_count()
        await client.close()

    async with asyncio.timeout(GUARD), Host() as host:
        client = await NdbClient.connect(host.uri)
        for _ in range(16):
            await client.kv_count()
        calls = [asyncio.create_task(client.kv_count()) for _ in range(4)]
        closing = asyncio.create_task(close_after(client))
        calls += [asyncio.create_task(client.kv_count()) for _ in range(12)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        await closing
        assert ends[:4] == [0] * 4
        assert all(end == 0 or isinstance(end, (ConnectionLostError, NotConnectedError)) for end in ends)
        await host.left()


async def test_a_task_that_was_just_answered_can_cancel_another_whose_answer_came_with_its_own() -> None:
    async with asyncio.timeout(GUARD), Host() as host, NdbClient.connect(host.uri) as client:
        for _ in range(16):
            await client.kv_count()
        calls: list[asyncio.Task[int]] = []

        async def count_and_cancel_the_next(number: int) -> int:
            count = await client.kv_count()
            if number % 2 == 0:
                calls[number + 1].cancel()
            return count

        calls += [asyncio.create_task(count_and_cancel_the_next(number)) for number in range(8)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert ends[::2] == [0] * 4
        assert all(isinstance(end, asyncio.CancelledError) for end in ends[1::2])
        assert await client.kv_count() == 0


async def test_a_client_that_is_dropped_unclosed_warns_and_lets_go_of_the_server() -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        clients = [await NdbClient.connect(host.uri)]
        assert await clients[0].kv_count() == 0
        with pytest.warns(ResourceWarning, match="unclosed"):
            clients.clear()
        await host.left()


async def test_a_client_that_was_closed_does_not_warn() -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        async with NdbClient.connect(host.uri) as client:
            assert await client.kv_count() == 0
        del client
        gc.collect()  # a warning would be an error


async def test_a_client_dropped_while_it_connects_again_leaves_no_connection_behind() -> None:
    """Nobody waits any longer when the handshake, which took long, succeeds."""
    async with asyncio.timeout(GUARD), Host(deadly, honest) as host, ChaosProxy(host.port) as proxy:
        client = await NdbClient.connect(proxy.uri, request_timeout=0.1)
        proxy.hold()
        with pytest.raises(RequestTimeoutError):
            await client.kv_get(("a",))
        del client
        gc.collect()
        proxy.release()
        await proxy.left()
