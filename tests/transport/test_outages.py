"""A server that is away for longer: who waits, for how long, what failures say, and how its return is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from ndb_models import NdbClient
from ndb_models.client.outage import Outage
from ndb_models.errors import ConnectError, ConnectionLostError, RequestTimeoutError, UnavailableError
from tests.transport.chaos import ChaosProxy
from tests.transport.servers import GUARD, SOON, Host, Visit, deadly, honest, mute, refusing_port

pytestmark = [pytest.mark.slow, pytest.mark.loop]

WAIT = 0.4
"""Seconds that requests wait for the end of an outage here."""
AT_ONCE = 0.2
"""Seconds within which a request has failed that does not wait, on a busy machine too."""


async def outcome(call: Awaitable[object]) -> tuple[object, float]:
    """Return what a call returned or raised, and how long it took."""
    start = time.monotonic()
    try:
        result = await call
    except UnavailableError as exc:
        result = exc
    return result, time.monotonic() - start


async def outage_lasts(client: NdbClient) -> None:
    """Wait until requests fail at once."""
    while True:
        failure, took = await outcome(client.kv_get(("a",)))
        if isinstance(failure, ConnectionLostError) and took < AT_ONCE / 4:
            return


async def outage_is_over(client: NdbClient) -> None:
    """Wait until a request is answered; each fails at once until then."""
    while True:
        with contextlib.suppress(ConnectionLostError):
            await client.kv_count()
            return
        await asyncio.sleep(0.01)


async def test_requests_wait_for_a_time_that_counts_from_the_beginning_of_the_outage_and_then_fail_at_once() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, connect_wait=WAIT) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        first = asyncio.create_task(outcome(client.kv_get(("a",))))
        await asyncio.sleep(WAIT / 2)
        second = asyncio.create_task(outcome(client.kv_add({"a": 1})))
        for call, at_least, at_most in ((first, WAIT * 0.9, WAIT * 4), (second, 0.0, WAIT * 3)):
            failure, took = await call
            assert isinstance(failure, ConnectionLostError)
            assert at_least <= took < at_most
        late = [await outcome(client.kv_add({"a": 1})) for _ in range(5)]
        assert min(took for _, took in late) < AT_ONCE / 4
        for failure, _ in late:
            assert isinstance(failure, ConnectionLostError)
            assert not failure.maybe_done


async def test_one_that_was_idle_since_the_outage_began_fails_at_once_too() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, connect_wait=WAIT) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        await asyncio.sleep(WAIT * 1.5)
        failure, took = await outcome(client.kv_count())
        assert isinstance(failure, ConnectionLostError)
        assert took < AT_ONCE


async def test_a_restart_within_that_time_goes_unnoticed() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        calls = [asyncio.create_task(client.kv_set({str(n): n})) for n in range(20)]
        await asyncio.sleep(WAIT)
        proxy.up = True
        assert await asyncio.gather(*calls) == [True] * 20


async def test_the_client_goes_on_connecting_while_nobody_waits_and_the_first_success_ends_the_outage() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, connect_wait=0.05) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        await outage_lasts(client)
        tried = proxy.connections
        await proxy.tried(tried + 2)
        proxy.up = True
        await outage_is_over(client)
        # This outage is over: the next is waited for anew.
        proxy.cut_all()
        assert await client.kv_count() == 0


async def test_an_idle_client_has_connected_again_before_it_is_asked() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri) as client,
    ):
        proxy.cut_all()
        await host.reached(2)
        assert await client.kv_count() == 0
        assert host.handshakes == 2


async def test_the_reason_is_in_the_message_where_the_connection_is_refused() -> None:
    with refusing_port() as port:
        async with asyncio.timeout(GUARD):
            async with Host(port=port) as host:
                client = await NdbClient.connect(host.uri, connect_wait=WAIT)
            try:
                await outage_lasts(client)
                failure, _ = await outcome(client.kv_get(("a",)))
            finally:
                await client.close()
        assert isinstance(failure, ConnectionLostError)
        assert "Connection refused" in str(failure)
        assert "no answer" not in str(failure)
        assert isinstance(failure.__cause__, ConnectError)


@pytest.mark.parametrize("status", [401, 503])
async def test_the_reason_is_in_the_message_where_the_handshake_is_refused(status: int) -> None:
    refusing = False

    def answer(connection: ServerConnection, _request: Request) -> Response | None:
        return connection.respond(http.HTTPStatus(status), "no") if refusing else None

    async def cut_when_asked(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async with asyncio.timeout(GUARD), serve(cut_when_asked, "127.0.0.1", 0, process_request=answer) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with NdbClient.connect(uri, connect_wait=WAIT) as client:
            refusing = True
            failure, _ = await outcome(client.kv_get(("a",)))
            assert isinstance(failure, ConnectionLostError)
            assert str(status) in str(failure)
            assert failure.maybe_done


async def test_the_reason_is_in_the_message_where_no_handshake_is_answered() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, connect_wait=WAIT, open_timeout=0.2) as client,
    ):
        proxy.hold()
        proxy.cut_all()
        failure, _ = await outcome(client.kv_get(("a",)))
        assert isinstance(failure, ConnectionLostError)
        assert "no handshake within 0.2 s" in str(failure)


async def test_an_attempt_that_is_still_going_on_is_not_waited_for_longer() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, connect_wait=WAIT) as client,
    ):
        proxy.hold()
        proxy.cut_all()
        failure, took = await outcome(client.kv_get(("a",)))
        assert isinstance(failure, ConnectionLostError)
        assert "no connection to ws://" in str(failure)
        assert took < 4 * WAIT
        proxy.release()
        await outage_is_over(client)


async def test_a_name_that_cannot_be_looked_up_for_a_while_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    look_up, known = loop.getaddrinfo, True

    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        if not known:
            raise OSError(-2, "Name or service not known")
        return await look_up("127.0.0.1", port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with asyncio.timeout(GUARD), Host() as host, ChaosProxy(host.port) as proxy:
        uri = f"ws://sessions.test:{proxy.port}/"
        async with NdbClient.connect(uri, connect_wait=WAIT) as client:
            known = False
            proxy.cut_all()
            failure, _ = await outcome(client.kv_get(("a",)))
            assert "Name or service not known" in str(failure)
            known = True
            await outage_is_over(client)


async def test_what_was_in_flight_and_waits_in_vain_may_have_been_carried_out() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(deadly) as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, connect_wait=WAIT) as client,
    ):
        proxy.up = False
        failure, _ = await outcome(client.kv_set({"a": 1}))
        assert isinstance(failure, ConnectionLostError)
        assert failure.maybe_done


async def test_a_server_that_takes_connections_and_dies_of_each_request_is_away_too() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(deadly) as host,
        NdbClient.connect(host.uri, connect_wait=WAIT) as client,
    ):
        failure, took = await outcome(client.kv_get(("a",)))
        assert isinstance(failure, ConnectionLostError)
        assert failure.maybe_done
        assert took < SOON


async def test_a_server_that_closes_each_connection_at_once_is_away_too_and_is_not_hammered() -> None:
    async def leave(visit: Visit) -> None:
        visit.abort()

    async with (
        asyncio.timeout(GUARD),
        Host(honest, leave) as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, connect_wait=WAIT) as client,
    ):
        proxy.cut_all()
        start = time.monotonic()
        failure, took = await outcome(client.kv_get(("a",)))
        assert isinstance(failure, ConnectionLostError)
        assert took < SOON
        # At once, then after 25 to 50 ms, and after about twice as long each time.
        assert host.handshakes <= 10 + 4 * (time.monotonic() - start)


async def test_a_request_whose_own_time_is_over_first_says_why_it_waited() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, request_timeout=0.2) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        failure, _ = await outcome(client.kv_get(("a",)))
        assert isinstance(failure, RequestTimeoutError)
        assert f"cannot connect to ws://127.0.0.1:{proxy.port}/" in str(failure)


async def test_closing_during_an_outage_ends_connecting_and_all_who_wait() -> None:
    async with asyncio.timeout(GUARD), Host() as host, ChaosProxy(host.port) as proxy:
        client = await NdbClient.connect(proxy.uri)
        proxy.up = False
        proxy.cut_all()
        before = asyncio.all_tasks()
        calls = [asyncio.create_task(outcome(client.kv_get(("a",)))) for _ in range(5)]
        await proxy.tried(3)
        await client.close()
        for call in calls:
            failure, _ = await call
            assert isinstance(failure, ConnectionLostError)
        assert asyncio.all_tasks() <= before
        tried = proxy.connections
        await asyncio.sleep(0.1)
        assert proxy.connections == tried


async def test_closing_while_nobody_waits_ends_connecting_too() -> None:
    async with asyncio.timeout(GUARD), Host() as host, ChaosProxy(host.port) as proxy:
        before = asyncio.all_tasks()
        client = await NdbClient.connect(proxy.uri, connect_wait=0.05)
        proxy.up = False
        proxy.cut_all()
        await outage_lasts(client)
        await client.close()
        assert asyncio.all_tasks() <= before


async def test_a_request_cancelled_during_an_outage_ends_at_once_and_connecting_goes_on() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        call = asyncio.create_task(client.kv_get(("a",)))
        await proxy.tried(3)
        call.cancel()
        await asyncio.wait((call,))
        assert call.cancelled()
        proxy.up = True
        await host.reached(2)


@pytest.mark.parametrize("asked", [False, True])
def test_a_client_left_open_during_an_outage_warns_at_most(asked: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def lose() -> NdbClient:
        async with Host() as host:
            client = await NdbClient.connect(host.uri, connect_wait=0.05)
        if asked:
            with contextlib.suppress(ConnectionLostError):
                await client.kv_count()
        await asyncio.sleep(0.1)
        return client

    gc.collect()  # what other tests have left behind
    caplog.clear()
    client = asyncio.run(lose())
    del client
    gc.collect()
    assert caplog.records == []


async def test_one_that_asks_again_and_again_lets_the_client_connect() -> None:
    """A request that fails at once lets others have their turn."""
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, connect_wait=0.05) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        await outage_lasts(client)
        asyncio.get_running_loop().call_later(0.1, setattr, proxy, "up", True)
        while True:
            with contextlib.suppress(UnavailableError):
                assert await client.kv_count() == 0
                return


async def test_two_hundred_tasks_wait_for_a_dead_server_without_a_herd_and_are_served_when_it_is_back() -> None:
    longest = 0.0
    stopped = False

    async def work(client: NdbClient, number: int) -> None:
        nonlocal longest
        while not stopped:
            ended, took = await outcome(client.kv_get((str(number),)))
            assert ended == {} or isinstance(ended, ConnectionLostError)
            longest = max(longest, took)
            await asyncio.sleep(0.05)

    async with (
        asyncio.timeout(3 * GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, connect_wait=WAIT) as client,
    ):
        tasks = [asyncio.create_task(work(client, number)) for number in range(200)]
        await host.received(200)
        tried = proxy.connections
        proxy.up = False
        proxy.cut_all()
        await asyncio.sleep(5 * WAIT)
        # One attempt at a time: at once, after up to 50, 100, 200, 400 ms, and then each 400 to 800 ms.
        assert 2 <= proxy.connections - tried <= 12
        proxy.up = True
        back = time.monotonic()
        await host.reached(2)
        served = len(host.requests)
        await host.received(served + 200)
        assert time.monotonic() - back < 10
        stopped = True
        await asyncio.gather(*tasks)
        assert longest < 4 * WAIT
        assert host.handshakes == 2


@pytest.mark.parametrize("script", [mute, honest])
async def test_without_reconnect_nothing_is_connected_behind(script: Callable[[Visit], Awaitable[None]]) -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(script) as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, reconnect=False) as client,
    ):
        proxy.cut_all()
        await host.left()
        failure, took = await outcome(client.kv_count())
        assert isinstance(failure, ConnectionLostError)
        assert took < AT_ONCE
        assert proxy.connections == 1


async def test_a_tls_handshake_that_hangs_is_given_up() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        async with asyncio.timeout(GUARD):
            with pytest.raises(ConnectError, match=r"no handshake within 0\.2 s"):
                await NdbClient.connect(f"wss://127.0.0.1:{listener.getsockname()[1]}/", open_timeout=0.2)


# Without I/O


def test_pauses_grow_up_to_a_limit_and_differ() -> None:
    outage = Outage(0.0, 5.0, "lost")
    pauses = [outage.next_pause() for _ in range(12)]
    assert pauses[0] == 0.0
    assert 0.025 <= pauses[1] <= 0.05
    assert all(0.4 <= pause <= 0.8 for pause in pauses[6:])
    assert len(set(pauses)) == 12


def test_an_outage_goes_on_unless_a_connection_has_lasted() -> None:
    outage = Outage(10.0, 5.0, "lost")
    assert outage.waited_for_until == 15.0
    assert outage.goes_on(11.0, "no answer", frozen=False)
    assert outage.reason == "lost"
    outage.connected(12.0)
    assert outage.goes_on(13.0, "no answer", frozen=False)
    assert outage.reason == "no answer"
    outage.connected(14.0)
    assert outage.goes_on(99.0, "no answer", frozen=True)
    outage.connected(100.0)
    assert not outage.goes_on(105.0, "no answer", frozen=False)
