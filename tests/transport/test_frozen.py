"""A connection on which nothing is answered any more, while new ones are: what moves, what stays, what is learnt."""

from __future__ import annotations

import asyncio
import time

import pytest

from ndb_models import NdbClient
from ndb_models.client.attempt_limits import AttemptLimits
from ndb_models.errors import ConnectionLostError, RequestTimeoutError
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.pipeline import Pipeline, Request
from tests.transport.asking import Question, answers_to, deliver, frame_of, opened
from tests.transport.chaos import ChaosProxy
from tests.transport.servers import GUARD, SOON, Host, Visit, honest, mute

pytestmark = [pytest.mark.slow, pytest.mark.loop]

LIMIT = 0.3
"""Seconds of silence here after which a connection is frozen."""


@pytest.mark.parametrize("beside", [0, 30])
async def test_what_is_safe_to_repeat_goes_over_a_new_connection_when_one_is_swallowed(beside: int) -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri, attempt_timeout=LIMIT) as client,
    ):
        await client.kv_set({"a": 1})
        await asyncio.gather(*(client.kv_count() for _ in range(64)))
        proxy.swallow_all()
        start = time.monotonic()
        ends = await asyncio.gather(*(client.kv_get(("a",)) for _ in range(1 + beside)))
        assert ends == [{"a": 1}] * (1 + beside)
        assert time.monotonic() - start < SOON
        assert host.handshakes == 2


async def test_a_request_that_was_cancelled_on_a_frozen_connection_does_not_keep_others_there() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(mute, honest) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT) as client,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LIMIT / 3):
                await client.kv_get(("a",))
        assert await client.kv_count() == 0
        assert host.handshakes == 2


async def test_what_is_not_safe_to_repeat_waits_for_its_answer_on_the_old_connection() -> None:
    answer_now = asyncio.Event()

    async def answer_late(visit: Visit) -> None:
        request = await visit.next_request()
        await answer_now.wait()
        await visit.send(await visit.answer(request))
        await visit.wait_closed()

    async with (
        asyncio.timeout(GUARD),
        Host(answer_late, honest) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT) as client,
    ):
        adding = asyncio.create_task(client.kv_add({"a": 1}))
        await host.received(1)
        assert await client.kv_count() == 0
        assert host.handshakes == 2
        answer_now.set()
        assert await adding is True
        assert await client.kv_get(("a",)) == {"a": 1}


async def test_what_is_not_safe_to_repeat_and_never_answered_ends_in_its_own_time_and_may_have_been_done() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(mute, honest) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT / 3, request_timeout=3 * LIMIT) as client,
    ):
        with pytest.raises(RequestTimeoutError) as overdue:
            await client.kv_add({"a": 1})
        assert overdue.value.maybe_done
        assert len(host.requests) == 1
        assert await client.kv_count() == 0


async def test_what_was_not_sent_yet_goes_over_the_new_connection_whatever_it_is() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(mute, honest) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT, request_timeout=GUARD / 2) as client,
    ):
        # A new connection takes one request at a time: the others wait.
        first = asyncio.create_task(client.kv_get(("a",)))
        await host.received(1)
        assert await asyncio.gather(*(client.kv_add({f"key{n}": n}) for n in range(5))) == [True] * 5
        assert await first == {}
        assert len(host.requests) == 1 + 1 + 5


@pytest.mark.parametrize("command", ["kv_save", "kv_load", "sh_save", "sh_load"])
async def test_a_data_set_may_take_the_whole_time_of_its_request(command: str) -> None:
    async def take_time(visit: Visit) -> None:
        request = await visit.next_request()
        await asyncio.sleep(3 * LIMIT)
        await visit.send(await visit.answer(request))
        await visit.serve()

    async with (
        asyncio.timeout(GUARD),
        Host(take_time) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT) as client,
    ):
        # The engine here has no place for data sets, and says so: it is the time that counts.
        call = asyncio.ensure_future(getattr(client, command)("keys"))
        await host.received(1)
        behind = asyncio.ensure_future(client.kv_count())
        await asyncio.wait((call, behind))
        assert behind.result() == 0
        assert host.handshakes == 1


async def test_a_command_that_takes_longer_than_the_limit_is_answered_and_is_given_that_time_from_then_on() -> None:
    async def take_time(visit: Visit) -> None:
        while True:
            request = await visit.next_request()
            if b"KV_FIND" in request:
                await asyncio.sleep(1.7 * LIMIT)
            await visit.send(await visit.answer(request))

    async with (
        asyncio.timeout(2 * GUARD),
        Host(take_time) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT) as client,
    ):
        assert await client.kv_find("$.a") == []
        handshakes = host.handshakes
        for _ in range(3):
            assert await client.kv_find("$.a") == []
        assert host.handshakes == handshakes


async def test_a_connection_on_which_answers_come_in_is_not_frozen_however_long_the_queue_takes() -> None:
    async def answer_slowly(visit: Visit) -> None:
        while True:
            request = await visit.next_request()
            await asyncio.sleep(LIMIT / 6)
            await visit.send(await visit.answer(request))

    async with (
        asyncio.timeout(2 * GUARD),
        Host(answer_slowly) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT) as client,
    ):
        assert await asyncio.gather(*(client.kv_count() for _ in range(30))) == [0] * 30
        assert host.handshakes == 1


async def test_pongs_are_no_answers() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(mute, honest) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT, keepalive=LIMIT / 6) as client,
    ):
        assert await client.kv_count() == 0
        assert host.handshakes == 2


async def test_an_answer_that_comes_in_bit_by_bit_is_waited_for() -> None:
    async def trickle(visit: Visit) -> None:
        request = await visit.next_request()
        visit.connection.protocol.send_text(await visit.answer(request))
        frame = b"".join(visit.connection.protocol.data_to_send())
        step = len(frame) // 10
        for start in range(0, len(frame), step):
            visit.connection.transport.write(frame[start : start + step])
            await asyncio.sleep(LIMIT / 4)
        await visit.serve()

    async with (
        asyncio.timeout(GUARD),
        Host(trickle) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT) as client,
    ):
        assert await client.kv_get(("a" * 1000,)) == {}
        assert host.handshakes == 1


async def test_a_loop_that_stood_still_does_not_take_a_connection_for_frozen() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT) as client,
    ):
        call = asyncio.create_task(client.kv_count())
        await asyncio.sleep(0)
        time.sleep(2 * LIMIT)  # noqa: ASYNC251 - what an application should not do, and does
        assert await call == 0
        assert host.handshakes == 1


async def test_a_server_that_takes_connections_and_answers_on_none_of_them_is_away() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(mute) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT / 3, connect_wait=4 * LIMIT) as client,
    ):
        with pytest.raises(ConnectionLostError, match="does not answer") as lost:
            await client.kv_get(("a",))
        assert lost.value.maybe_done
        assert host.handshakes >= 2


async def test_closing_does_not_wait_for_a_connection_that_was_left() -> None:
    async with asyncio.timeout(GUARD), Host() as host, ChaosProxy(host.port) as proxy:
        client = await NdbClient.connect(proxy.uri, attempt_timeout=LIMIT)
        await client.kv_count()
        proxy.swallow_all()
        adding = asyncio.create_task(client.kv_add({"a": 1}))
        await asyncio.sleep(0)
        assert await client.kv_count() == 0
        start = time.monotonic()
        await client.close()
        assert time.monotonic() - start < SOON
        with pytest.raises(ConnectionLostError) as lost:
            await adding
        assert lost.value.maybe_done


async def test_without_reconnect_the_connection_is_waited_for() -> None:
    async def answer_late(visit: Visit) -> None:
        request = await visit.next_request()
        await asyncio.sleep(2 * LIMIT)
        await visit.send(await visit.answer(request))
        await visit.serve()

    async with (
        asyncio.timeout(GUARD),
        Host(answer_late) as host,
        NdbClient.connect(host.uri, attempt_timeout=LIMIT, reconnect=False) as client,
    ):
        assert await client.kv_count() == 0
        assert await client.kv_count() == 0


# Without I/O


def test_a_command_may_take_twice_as_long_as_its_slowest_answer_of_late() -> None:
    limits = AttemptLimits(5.0)
    find, get, save = COMMANDS["KV_FIND"], COMMANDS["KV_GET"], COMMANDS["SH_SAVE"]
    assert limits.of(find, 0.0) == 5.0
    limits.note(find, 8.0, 0.0)
    limits.note(find, 3.0, 1.0)
    assert limits.of(find, 2.0) == 16.0
    assert limits.of(get, 2.0) == 5.0
    assert limits.of(save, 2.0) is None
    assert limits.of(find, 10_000.0) == 5.0


def question(number: int, command: str = "KV_GET") -> Request:
    return Request(Question(f"key{number}", command), 0.0)


def test_what_is_withdrawn_keeps_its_place_if_it_was_sent_and_its_answer_is_dropped() -> None:
    pipeline = opened(4)
    requests = [question(number, "KV_ADD" if number in (1, 5) else "KV_GET") for number in range(6)]
    for request in requests:
        pipeline.push(request)
    frames = pipeline.take()
    withdrawn = pipeline.withdraw()
    assert withdrawn == [
        (requests[0], True),
        (requests[2], True),
        (requests[3], True),
        (requests[4], False),
        (requests[5], False),
    ]
    assert pipeline.take() == []
    answered = [request for answer in answers_to(frames) for request in pipeline.receive(answer)]
    assert answered == requests[:4]
    assert [request.is_abandoned for request in requests[:4]] == [True, False, True, True]
    assert pipeline.idle


def test_a_request_that_goes_alone_is_in_flight_with_no_other() -> None:
    pipeline: Pipeline[Request] = opened(8)
    before, alone, behind = question(0), question(1), question(2)
    alone.alone = True
    for request in (before, alone, behind):
        pipeline.push(request)
    for request in (before, alone, behind):
        frames = pipeline.take()
        assert frames == [frame_of(request)]
        assert pipeline.take() == []
        assert deliver(pipeline, answers_to(frames)) == [f"key{(before, alone, behind).index(request)}"]


def test_those_behind_one_that_went_alone_go_together_again() -> None:
    pipeline: Pipeline[Request] = opened(8)
    alone = question(0)
    alone.alone = True
    for request in (alone, *(question(number) for number in range(1, 5))):
        pipeline.push(request)
    assert deliver(pipeline, answers_to(pipeline.take())) == ["key0"]
    assert len(pipeline.take()) == 5  # with the fence
