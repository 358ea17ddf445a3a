"""Connections that end at rare moments, servers that do not read, and loops and threads that change."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator

import pytest
from websockets.frames import CloseCode

from ndb_models import NdbClient
from ndb_models.errors import ConnectionLostError, RequestTimeoutError
from tests.tcp_peers import accepted, tcp_server
from tests.transport.servers import GUARD, Host, Visit, deadly, honest, refusing_port

LARGE = "x" * 100_000


async def test_a_request_cancelled_in_the_turn_in_which_it_has_waited_long_enough_does_not_disturb_others() -> None:
    with refusing_port() as port:
        client = NdbClient(f"ws://127.0.0.1:{port}/", connect_wait=0.1)
        waiting = asyncio.create_task(client.kv_count())
        other = asyncio.create_task(client.kv_count())
        await asyncio.sleep(0.02)
        asyncio.get_running_loop().call_later(0.05, waiting.cancel)
        time.sleep(0.15)  # noqa: ASYNC251 - so that one turn of the loop finds both times in the past
        async with asyncio.timeout(GUARD):
            ends = await asyncio.gather(waiting, other, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError, ConnectionLostError]
        await client.close()


async def test_a_connection_that_is_lost_with_its_handshake_is_followed_by_another() -> None:
    """The answer to the handshake and the goodbye come in one packet."""
    visits = 0

    async def greet_and_leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        protocol = await accepted(reader)
        if visits == 1:
            protocol.send_close(CloseCode.GOING_AWAY)
            writer.write(b"".join(protocol.data_to_send()))
            return
        writer.write(b"".join(protocol.data_to_send()))
        protocol.receive_data(await reader.read(1000))
        protocol.send_text(b'{"KV_COUNT_RSP":{"cnt":7,"st":1}}')
        writer.write(b"".join(protocol.data_to_send()))
        await reader.read(1000)  # the client's goodbye

    async with asyncio.timeout(GUARD), tcp_server(greet_and_leave) as port:
        client = NdbClient(f"ws://127.0.0.1:{port}/")
        assert await client.kv_count() == 7
        assert visits == 2
        await client.close()


async def test_a_new_outage_begins_when_a_connection_that_lasted_is_lost_without_an_answer() -> None:
    wait = 0.1

    async def last(visit: Visit) -> None:
        await asyncio.sleep(1.5 * wait)
        visit.abort()

    async with (
        asyncio.timeout(GUARD),
        Host(deadly, last, honest) as host,
        NdbClient.connect(host.uri, connect_wait=wait) as client,
    ):
        with pytest.raises(ConnectionLostError):
            await client.kv_add({"a": 1})
        await host.reached(2)
        await host.left()
        assert await client.kv_count() == 0  # it waits for the third, and does not fail at once
        assert host.handshakes == 3


async def test_a_failure_that_is_no_failure_to_connect_reaches_the_callers_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    async with asyncio.timeout(GUARD), Host() as host:
        client = NdbClient(host.uri.replace("127.0.0.1", "localhost"))
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "getaddrinfo", no_memory)
            ends = await asyncio.gather(client.kv_count(), client.kv_count(), return_exceptions=True)
        assert [type(end) for end in ends] == [MemoryError] * 2
        assert await client.kv_count() == 0
        await client.close()


async def test_a_loop_may_go_on_in_another_thread_and_its_client_with_it() -> None:
    def use_twice() -> None:
        loop = asyncio.new_event_loop()
        first = loop.run_until_complete(client.kv_count())
        threads = [threading.Thread(target=lambda: found.append(loop.run_until_complete(client.kv_count())))]
        threads[0].start()
        threads[0].join()
        found.append(first)
        loop.run_until_complete(client.close())
        loop.close()

    found: list[int] = []
    async with asyncio.timeout(GUARD), Host() as host:
        client = NdbClient(host.uri)
        await asyncio.to_thread(use_twice)
        assert found == [0, 0]
        assert host.handshakes == 1


async def test_closing_from_another_loop_lets_go_of_the_connection() -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        client = await NdbClient.connect(host.uri)
        await client.kv_count()
        await asyncio.to_thread(lambda: asyncio.run(client.close()))
        await host.left()
        assert host.handshakes == 1


async def test_a_connection_stays_usable_after_it_was_idle_for_longer_than_an_answer_may_take() -> None:
    async with asyncio.timeout(GUARD), Host() as host, NdbClient.connect(host.uri, attempt_timeout=0.02) as client:
        for _ in range(3):
            assert await client.kv_count() == 0
            await asyncio.sleep(0.05)
        assert host.handshakes == 1


async def test_a_late_answer_on_a_frozen_connection_leaves_the_time_of_the_requests_behind_it_alone() -> None:
    """None of them may be repeated, so all stay there when others go over a new connection."""
    released = asyncio.Event()

    async def be_late(visit: Visit) -> None:
        await visit.serve(3)  # so that several may be in flight
        taken = [await visit.next_request() for _ in range(3)]  # the third is the fence behind two
        await released.wait()
        visit.write_together(*[await visit.answer(request) for request in taken])
        await visit.wait_closed()

    async with (
        asyncio.timeout(GUARD),
        Host(be_late, honest) as host,
        NdbClient.connect(host.uri, attempt_timeout=0.2, request_timeout=0.5) as client,
    ):
        for _ in range(3):
            await client.kv_count()
        early = [asyncio.create_task(client.kv_add({name: 1})) for name in "ab"]
        await asyncio.sleep(0.1)
        behind = asyncio.create_task(client.kv_add({"c": 1}))
        await host.reached(2)
        released.set()
        assert await asyncio.gather(*early) == [True, True]
        with pytest.raises(RequestTimeoutError) as overdue:
            await behind
        assert overdue.value.maybe_done


@contextlib.asynccontextmanager
async def deaf(then_reads: asyncio.Event) -> AsyncIterator[Host]:
    """Run a server that answers one request, and reads the next ones once it is told to."""

    async def serve(visit: Visit) -> None:
        await visit.serve(1)
        visit.connection.transport.pause_reading()
        await then_reads.wait()
        visit.connection.transport.resume_reading()
        await visit.serve()

    async with Host(serve, honest) as host:
        yield host


async def test_a_server_that_never_reads_is_given_up_when_a_request_may_wait_no_longer() -> None:
    reads = asyncio.Event()
    async with (
        asyncio.timeout(GUARD),
        deaf(reads) as host,
        NdbClient.connect(host.uri, request_timeout=0.3, max_payload=2**26) as client,
    ):
        await client.kv_count()
        with pytest.raises((ConnectionLostError, RequestTimeoutError), match="may or may not"):
            await client.kv_add({"a": LARGE * 200})
        await host.reached(2)
        assert await client.kv_count() == 0
        reads.set()


async def test_a_server_that_reads_late_but_in_time_gets_all_of_a_large_request() -> None:
    reads = asyncio.Event()
    async with (
        asyncio.timeout(GUARD),
        deaf(reads) as host,
        NdbClient.connect(host.uri, request_timeout=GUARD, max_payload=2**26) as client,
    ):
        await client.kv_count()
        adding = asyncio.create_task(client.kv_add({"a": [LARGE] * 9}))
        await asyncio.sleep(0.1)
        assert not adding.done()
        reads.set()
        assert await adding
        assert await client.kv_get(("a",)) == {"a": [LARGE] * 9}
        assert host.handshakes == 1
