"""What is too large, what goes out together, and what a call leaves behind that is cancelled at any of its awaits."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from ndb_models import NdbClient
from ndb_models.errors import ConnectionLostError, PayloadTooLargeError
from ndb_models.server import NdbServer
from tests.transport.servers import GUARD, Host, Visit, honest


async def test_a_request_that_is_too_large_never_reaches_the_server_and_its_neighbours_do() -> None:
    async with asyncio.timeout(GUARD), Host() as host, NdbClient.connect(host.uri, max_payload=300) as client:
        ends = await asyncio.gather(
            client.kv_set({"a": 1}),
            client.kv_set({"small": "x", "larger": "x" * 200, "largest": "x" * 400, "large": "x" * 100, "less": "x"}),
            client.kv_get(("a",)),
            return_exceptions=True,
        )
        assert ends[0] is True
        assert ends[2] == {"a": 1}
        too_large = ends[1]
        assert isinstance(too_large, PayloadTooLargeError)
        assert [key for key, _ in too_large.largest] == ["largest", "larger", "large"]
        assert (too_large.command, too_large.limit) == ("KV_SET", 300)
        assert max(map(len, host.requests)) <= 300
        assert len(host.requests) == 2
        assert host.handshakes == 1


async def test_a_request_of_exactly_the_largest_size_is_sent_and_one_byte_more_is_not() -> None:
    frame = len(json.dumps({"KV_SET": {"keys": {"a": ""}}}, separators=(",", ":")))
    async with asyncio.timeout(GUARD), Host() as host, NdbClient.connect(host.uri, max_payload=300) as client:
        assert await client.kv_set({"a": "x" * (300 - frame)})
        with pytest.raises(PayloadTooLargeError) as refused:
            await client.kv_set({"a": "x" * (301 - frame)})
        assert refused.value.size == 301
        assert [len(request) for request in host.requests] == [300]


class CountingTransport:
    """Stands before a transport and counts what is written: one write is one call of the system."""

    def __init__(self, transport: asyncio.Transport, writes: list[bytes]) -> None:
        self._transport = transport
        self._writes = writes

    def write(self, data: bytes) -> None:
        self._writes.append(data)
        self._transport.write(data)

    def writelines(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@pytest.fixture
async def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that connections of this loop write from now on, write by write."""
    loop = asyncio.get_running_loop()
    connect, written = loop.create_connection, list[bytes]()

    async def create_connection(factory: Callable[[], Any], *args: Any, **options: Any) -> Any:
        def counted() -> Any:
            protocol = factory()
            made = protocol.connection_made
            protocol.connection_made = lambda transport: made(CountingTransport(transport, written))
            return protocol

        return await connect(counted, *args, **options)

    monkeypatch.setattr(loop, "create_connection", create_connection)
    return written


async def test_requests_of_one_turn_of_the_loop_go_out_in_one_write(writes: list[bytes]) -> None:
    async with asyncio.timeout(GUARD), Host() as host, NdbClient.connect(host.uri) as client:
        for _ in range(64):
            await client.kv_count()
        writes.clear()
        await asyncio.gather(*(client.kv_count() for _ in range(64)))
        # The first need not wait for the end of the turn.
        assert len(writes) <= 2


async def test_requests_that_follow_on_answers_that_came_together_go_out_in_one_write(writes: list[bytes]) -> None:
    async def answer_together(visit: Visit) -> None:
        await visit.serve(64)
        while True:
            # As many as go together, with the fence behind them.
            requests = [await visit.next_request() for _ in range(9)]
            visit.write_together(*[await visit.answer(request) for request in requests])

    async def count_twice(client: NdbClient) -> None:
        await client.kv_count()
        await client.kv_count()

    async with asyncio.timeout(GUARD), Host(answer_together) as host, NdbClient.connect(host.uri) as client:
        for _ in range(64):
            await client.kv_count()
        writes.clear()
        await asyncio.gather(*(count_twice(client) for _ in range(8)))
        assert len(writes) <= 3


Verb = Callable[[NdbClient], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "kv_get": lambda client: client.kv_get(("a",)),
    "kv_add": lambda client: client.kv_add({"b": 1}),
    "sh_create_session": lambda client: client.sh_create_session(),
}


@pytest.mark.slow
@pytest.mark.parametrize("beside", [0, 5])
@pytest.mark.parametrize("verb", VERBS)
async def test_a_call_cancelled_at_any_await_leaves_nothing_behind(server: NdbServer, verb: str, beside: int) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    ended = created = 0
    async with asyncio.timeout(GUARD), NdbClient.connect(server.uri) as client:
        await client.kv_set({"a": 1})
        for turns in range(60):
            others = [asyncio.create_task(client.kv_get(("a",))) for _ in range(beside)]
            call = asyncio.ensure_future(VERBS[verb](client))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait((call,))
            ended += not call.cancelled()
            created += verb == "sh_create_session" and not call.cancelled()
            assert await asyncio.gather(*others) == [{"a": 1}] * beside
            assert await client.kv_get(("a",)) == {"a": 1}
        # Some were cancelled before, and some came through: otherwise this has looked at nothing.
        assert 0 < ended < 60
        while (await client.sh_info_all())["totalSessions"] != created:
            await client.kv_count()
    gc.collect()
    assert complaints == []


async def test_a_client_cancelled_while_it_connects_leaves_nothing_behind() -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        cancelled = opened = 0
        for turns in range(70):
            opening = asyncio.ensure_future(NdbClient.connect(host.uri).__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            if turns >= 60 and not opened:  # the peer is slower than so many turns
                await asyncio.sleep(0.01 * 2 ** (turns - 60))
            opening.cancel()
            await asyncio.wait((opening,))
            if opening.cancelled():
                cancelled += 1
            else:
                opened += 1
                await opening.result().close()
        await host.left()
        assert cancelled
        assert opened


async def test_a_request_cancelled_while_it_waits_for_a_connection_leaves_the_others_waiting() -> None:
    released = asyncio.Event()

    async def die_when_released(visit: Visit) -> None:
        await visit.next_request()
        await released.wait()
        visit.abort()

    async with asyncio.timeout(GUARD), Host(die_when_released, honest) as host, NdbClient.connect(host.uri) as client:
        calls = [asyncio.create_task(client.kv_get(("a",))) for _ in range(10)]
        await host.received(1)
        released.set()
        await host.reached(2)
        for call in calls[::2]:
            call.cancel()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert all(end == {} for end in ends[1::2])
        assert all(end == {} or isinstance(end, asyncio.CancelledError) for end in ends[::2])


async def test_a_request_cancelled_before_it_was_sent_is_not_sent() -> None:
    answer_now = asyncio.Event()

    async def answer_late(visit: Visit) -> None:
        request = await visit.next_request()
        await answer_now.wait()
        await visit.send(await visit.answer(request))
        await visit.serve()

    async with asyncio.timeout(GUARD), Host(answer_late) as host, NdbClient.connect(host.uri) as client:
        # A new connection takes one request at a time: the others wait.
        calls = [asyncio.create_task(client.kv_add({f"key{number}": number})) for number in range(4)]
        await host.received(1)
        for call in calls[1:3]:
            call.cancel()
        await asyncio.wait(calls[1:3])
        answer_now.set()
        assert await calls[0]
        assert await calls[3]
        assert sorted(await client.kv_keys()) == ["key0", "key3"]


async def test_a_request_after_a_cancelled_one_over_a_lost_connection_is_not_answered_by_its_answer() -> None:
    answer_now = asyncio.Event()

    async def answer_late(visit: Visit) -> None:
        request = await visit.next_request()
        await answer_now.wait()
        await visit.send(await visit.answer(request))
        await visit.serve()

    async with asyncio.timeout(GUARD), Host(answer_late, honest) as host, NdbClient.connect(host.uri) as client:
        first = asyncio.create_task(client.kv_add({"a": 1}))
        await host.received(1)
        first.cancel()
        second = asyncio.create_task(client.kv_count())
        answer_now.set()
        assert await second == 1
        assert first.cancelled()
        with pytest.raises(ConnectionLostError):
            await asyncio.gather(client.kv_add({"b": 1}), client.close())
