"""A server that restarts, comes late, or never comes back: what is repeated, what fails, and what failures say."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from ndb_models import NdbClient
from ndb_models.engine import Engine
from ndb_models.errors import ConnectError, ConnectionLostError, RequestTimeoutError
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.free_ports import free_port
from tests.transport.chaos import ChaosProxy
from tests.transport.servers import GUARD, Host, Visit, deadly, honest, mute

pytestmark = [pytest.mark.slow, pytest.mark.loop]

RESTARTS = 4


def server_on(port: int, store: MemoryStore) -> NdbServer:
    return NdbServer(Engine(store), ServerOptions(port=port))


class Caller:
    """Makes calls until told to stop; keeps what became of those that are not repeated."""

    def __init__(self, client: NdbClient, name: str) -> None:
        self.client = client
        self.name = name
        self.calls = 0
        self.stopped = False
        # By the key that was to be added: True, or whether the error said that it may have been done.
        self.added: dict[str, bool | None] = {}

    async def read_and_write(self) -> None:
        """Make repeatable calls, none of which may fail."""
        while not self.stopped:
            self.calls += 1
            assert await self.client.kv_set({self.name: self.calls})
            assert await self.client.kv_get((self.name,)) == {self.name: self.calls}

    async def add(self) -> None:
        """Make calls that cannot be repeated, each with a key of its own."""
        while not self.stopped:
            self.calls += 1
            key = f"{self.name} {self.calls}"
            try:
                assert await self.client.kv_add({key: 1})
                self.added[key] = None
            except ConnectionLostError as lost:
                self.added[key] = lost.maybe_done

    async def progressed(self, calls: int) -> None:
        """Wait until so many more calls were made."""
        until = self.calls + calls
        while self.calls < until:
            await self.client.kv_count()


@pytest.mark.parametrize("way", ["stopped", "cut"])
async def test_a_restart_goes_unnoticed_by_what_can_be_repeated_and_failures_tell_the_truth(way: str) -> None:
    store = MemoryStore()
    server = server_on(free_port(), store)
    await server.start()
    async with (
        asyncio.timeout(3 * GUARD),
        ChaosProxy(server.port) as proxy,
        NdbClient.connect(proxy.uri) as client,
    ):
        repeating = [Caller(client, f"reader{number}") for number in range(16)]
        adding = [Caller(client, f"adder{number}") for number in range(16)]
        running = [asyncio.create_task(each.read_and_write()) for each in repeating]
        running += [asyncio.create_task(each.add()) for each in adding]
        for _ in range(RESTARTS):
            await adding[0].progressed(20)
            if way == "cut":
                proxy.cut_all()
            await server.stop()
            server = server_on(proxy.target, store)
            await server.start()
        await adding[0].progressed(20)
        for caller in (*repeating, *adding):
            caller.stopped = True
        await asyncio.gather(*running)
        assert proxy.connections > RESTARTS
        stored = set(await client.kv_keys())
    await server.stop()
    outcomes = {key: done for each in adding for key, done in each.added.items()}
    assert {key for key, maybe_done in outcomes.items() if maybe_done is None} <= stored
    assert not stored & {key for key, maybe_done in outcomes.items() if maybe_done is False}


async def test_what_was_sent_and_cannot_be_repeated_may_have_been_done() -> None:
    async with asyncio.timeout(GUARD), Host(deadly, honest) as host, NdbClient.connect(host.uri) as client:
        with pytest.raises(ConnectionLostError) as lost:
            await client.kv_add({"a": 1})
        assert lost.value.maybe_done
        assert await client.kv_count() == 0


async def test_what_can_be_repeated_is_repeated_over_a_new_connection() -> None:
    async with asyncio.timeout(GUARD), Host(deadly, deadly, honest) as host, NdbClient.connect(host.uri) as client:
        assert await client.kv_set({"a": 1})
        assert host.handshakes == 3
        assert len(host.requests) == 3


async def test_what_was_not_sent_when_the_connection_broke_is_sent_over_the_next() -> None:
    async with asyncio.timeout(GUARD), Host(deadly, honest) as host, NdbClient.connect(host.uri) as client:
        # A new connection takes one request at a time: only the first is sent, and it cannot be repeated.
        ends = await asyncio.gather(*(client.kv_add({f"key{n}": n}) for n in range(5)), return_exceptions=True)
        assert isinstance(ends[0], ConnectionLostError)
        assert ends[1:] == [True] * 4


async def test_what_waits_for_room_when_the_server_says_goodbye_is_sent_over_the_next_connection() -> None:
    async def answer_and_leave(visit: Visit) -> None:
        visit.write_together(await visit.answer(await visit.next_request()), close=1001)
        await visit.wait_closed()

    async with asyncio.timeout(GUARD), Host(answer_and_leave, honest) as host, NdbClient.connect(host.uri) as client:
        ends = await asyncio.gather(*(client.kv_add({f"key{n}": n}) for n in range(5)), return_exceptions=True)
        assert ends == [True] * 5
        assert len(host.requests) == 5


async def test_twenty_who_wait_for_a_connection_cause_one() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri) as client,
    ):
        await client.kv_set({"a": 1})
        for reconnects in range(1, 4):
            proxy.cut_all()
            ends = await asyncio.gather(*(client.kv_get(("a",)) for _ in range(20)))
            assert ends == [{"a": 1}] * 20
            assert host.handshakes == 1 + reconnects


async def test_a_request_made_while_there_is_no_server_waits_for_it() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        calls = [asyncio.create_task(client.kv_set({str(n): n})) for n in range(5)]
        await proxy.tried(3)
        proxy.up = True
        assert await asyncio.gather(*calls) == [True] * 5


async def test_without_reconnect_a_lost_connection_fails_requests_at_once() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(deadly, honest) as host,
        NdbClient.connect(host.uri, reconnect=False) as client,
    ):
        for maybe_done in (True, False, False):
            with pytest.raises(ConnectionLostError) as lost:
                await client.kv_get(("a",))
            assert lost.value.maybe_done is maybe_done
        assert host.handshakes == 1


async def test_a_server_that_is_gone_for_good_is_a_timeout_that_says_why() -> None:
    async with Host(deadly) as host:
        client = await NdbClient.connect(host.uri, request_timeout=0.3)
        with pytest.raises(ConnectionLostError):
            await client.kv_add({"a": 1})
    async with asyncio.timeout(GUARD):
        start = time.monotonic()
        with pytest.raises(RequestTimeoutError) as overdue:
            await client.kv_get(("a",))
        assert 0.25 < time.monotonic() - start < 10
        assert not overdue.value.maybe_done
        assert isinstance(overdue.value.__cause__, ConnectError)
        await client.close()


async def test_a_timeout_after_a_repetition_says_that_the_first_may_have_been_carried_out() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(deadly) as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, request_timeout=1) as client,
    ):
        call = asyncio.create_task(client.kv_set({"a": 1}))
        proxy.up = False
        with pytest.raises(RequestTimeoutError) as overdue:
            await call
        assert len(host.requests) == 1
        assert overdue.value.maybe_done


async def test_closing_after_a_repetition_says_that_the_first_may_have_been_carried_out() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(deadly) as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri) as client,
    ):
        call = asyncio.create_task(client.kv_set({"a": 1}))
        proxy.up = False
        await proxy.tried(3)
        await client.close()
        with pytest.raises(ConnectionLostError) as lost:
            await call
        assert lost.value.maybe_done


async def test_closing_while_requests_wait_for_a_connection_fails_them() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        calls = [asyncio.create_task(client.kv_get(("a",))) for _ in range(5)]
        await proxy.tried(3)
        await client.close()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(end) for end in ends] == [ConnectionLostError] * 5


async def test_a_repeated_request_ends_in_its_own_time_behind_a_younger_one() -> None:
    """It gets behind by waiting for a close while the younger one, which did not have to, has connected again."""
    younger_is_sent, old_is_gone = asyncio.Event(), asyncio.Event()

    async def leave_slowly(visit: Visit) -> None:
        await visit.next_request()
        visit.connection.transport.pause_reading()  # else the client's own close would end the connection
        visit.write_together(close=1001)
        await younger_is_sent.wait()
        visit.abort()
        old_is_gone.set()

    async def take_and_be_mute(visit: Visit) -> None:
        await visit.next_request()
        younger_is_sent.set()
        await mute(visit)

    async with (
        asyncio.timeout(GUARD),
        Host(leave_slowly, take_and_be_mute, mute) as host,
        NdbClient.connect(host.uri, request_timeout=1) as client,
    ):
        older = asyncio.create_task(client.kv_get(("older",)))
        await host.received(1)
        await asyncio.wait((older,), timeout=0.3)
        younger = asyncio.create_task(client.kv_get(("younger",)))
        await old_is_gone.wait()
        ended, _ = await asyncio.wait((older, younger), return_when=asyncio.FIRST_COMPLETED)
        assert ended == {older}
        assert isinstance(older.exception(), RequestTimeoutError)
        await asyncio.wait((younger,))
        assert isinstance(younger.exception(), RequestTimeoutError)


@pytest.mark.parametrize("way", ["refusing connections", "dying of every request"])
async def test_a_server_that_fails_is_not_hammered(way: str) -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(deadly) as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, request_timeout=1) as client,
    ):
        if way == "refusing connections":
            proxy.up = False
            proxy.cut_all()
        ends = await asyncio.gather(*(client.kv_get(("a",)) for _ in range(50)), return_exceptions=True)
        assert all(isinstance(end, RequestTimeoutError) for end in ends)
        # At once, then after 25 to 50 ms, and after about twice as long each time.
        assert 4 <= proxy.connections <= 8


async def test_pauses_start_anew_when_the_server_is_well_again() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, request_timeout=1) as client,
    ):
        proxy.up = False
        proxy.cut_all()
        with pytest.raises(RequestTimeoutError):
            await client.kv_count()
        proxy.up = True
        is_back = False
        while not is_back:
            with contextlib.suppress(RequestTimeoutError):  # the last of the long pauses may still last
                is_back = await client.kv_count() == 0
        for _ in range(10):
            proxy.cut_all()
            assert await client.kv_count() == 0


async def test_a_swallowed_connection_is_given_up_after_a_request_was_overdue() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, request_timeout=1) as client,
    ):
        proxy.swallow_all()
        with pytest.raises(RequestTimeoutError) as overdue:
            await client.kv_get(("a",))
        assert overdue.value.maybe_done
        assert await client.kv_count() == 0
        assert host.handshakes == 2


async def test_a_connection_that_cannot_be_trusted_any_more_is_dropped() -> None:
    dropped = asyncio.Event()

    async def answer_something_else(visit: Visit) -> None:
        await visit.next_request()
        await visit.send(await visit.answer(b'{"KV_COUNT":{}}'))
        await visit.wait_closed()
        dropped.set()

    async with (
        asyncio.timeout(GUARD),
        Host(answer_something_else, honest) as host,
        NdbClient.connect(host.uri) as client,
    ):
        assert await client.kv_get(("a",)) == {}
        await dropped.wait()
        assert host.handshakes == 2
