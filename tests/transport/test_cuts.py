"""A server that cuts the connection, without a word, at frames that are larger than it takes, as a NemesisDB does."""

from __future__ import annotations

import asyncio
import time

import pytest

from ndb_models import NdbClient, Repository, SessionModel
from ndb_models.errors import ConnectionLostError
from tests.transport.chaos import ChaosProxy
from tests.transport.servers import GUARD, SOON, Host, Visit, honest

TAKEN = 1024


async def cut_at_large(visit: Visit) -> None:
    """Answer everything but frames that are larger than a NemesisDB takes by default."""
    while True:
        request = await visit.next_request()
        if len(request) > TAKEN:
            visit.abort()
            return
        await visit.send(await visit.answer(request))


class Large(SessionModel, schema="cuts-large"):
    text: str


def large_in(host: Host) -> int:
    """Return how many frames have come that were too large."""
    return sum(len(request) > TAKEN for request in host.requests)


async def test_a_frame_at_which_the_connection_is_cut_twice_fails_at_once_and_names_max_payload() -> None:
    async with asyncio.timeout(GUARD), Host(cut_at_large) as host, NdbClient.connect(host.uri) as client:
        start = time.monotonic()
        with pytest.raises(ConnectionLostError, match="max_payload") as lost:
            await client.kv_set({"a": "x" * 1500})
        assert time.monotonic() - start < SOON
        assert lost.value.maybe_done
        assert large_in(host) == 2
        assert await client.kv_count() == 0


async def test_what_may_not_be_repeated_fails_at_the_first_cut_and_names_it_too() -> None:
    async with asyncio.timeout(GUARD), Host(cut_at_large) as host, NdbClient.connect(host.uri) as client:
        with pytest.raises(ConnectionLostError, match="max_payload") as lost:
            await client.kv_add({"a": "x" * 1500})
        assert lost.value.maybe_done
        assert large_in(host) == 1


async def test_a_save_of_a_large_session_names_it() -> None:
    async with asyncio.timeout(GUARD), Host(cut_at_large) as host, NdbClient.connect(host.uri) as client:
        with pytest.raises(ConnectionLostError, match="max_payload"):
            await Repository(client, Large).save(Large(text="x" * 1500))


async def test_with_max_payload_it_is_stored() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host(cut_at_large) as host,
        NdbClient.connect(host.uri, max_payload=TAKEN) as client,
    ):
        await client.kv_set({"a": "x" * 900})
        assert large_in(host) == 0


async def test_others_are_not_in_flight_when_the_connection_is_cut_again() -> None:
    cut_now = asyncio.Event()

    async def cut_when_told(visit: Visit) -> None:
        while True:
            request = await visit.next_request()
            if len(request) > TAKEN:
                await cut_now.wait()
                visit.abort()
                return
            await visit.send(await visit.answer(request))

    async with (
        asyncio.timeout(GUARD),
        Host(cut_at_large, cut_when_told) as host,
        NdbClient.connect(host.uri) as client,
    ):
        large = asyncio.create_task(client.kv_set({"a": "x" * 1500}))
        await host.received(2)
        # The large frame is at the server again. These cannot be repeated, so that a cut would show.
        adds = [asyncio.create_task(client.kv_add({f"key{number}": number})) for number in range(20)]
        await asyncio.wait(adds, timeout=0.05)
        assert len(host.requests) == 2
        cut_now.set()
        assert await asyncio.gather(*adds) == [True] * 20
        with pytest.raises(ConnectionLostError, match="max_payload"):
            await large


async def test_reads_that_are_cut_with_it_are_answered() -> None:
    async with asyncio.timeout(GUARD), Host(cut_at_large) as host, NdbClient.connect(host.uri) as client:
        await asyncio.gather(*(client.kv_count() for _ in range(64)))
        ends = await asyncio.gather(
            *(client.kv_count() for _ in range(10)),
            client.kv_set({"a": "x" * 1500}),
            *(client.kv_count() for _ in range(10)),
            return_exceptions=True,
        )
        assert [end for end in ends if end != 0] == [ends[10]]
        assert isinstance(ends[10], ConnectionLostError)


async def test_once_a_server_has_cut_one_large_frame_all_others_go_alone_until_one_is_answered() -> None:
    async with asyncio.timeout(GUARD), Host(cut_at_large) as host, NdbClient.connect(host.uri) as client:
        await asyncio.gather(*(client.kv_count() for _ in range(64)))
        with pytest.raises(ConnectionLostError):
            await client.kv_set({"a": "x" * 1500})
        await asyncio.gather(*(client.kv_count() for _ in range(64)))
        # Not one of these may be repeated, so that a cut would show.
        ends = await asyncio.gather(
            *(client.kv_add({f"key{number}": number}) for number in range(10)),
            client.kv_add({"b": "x" * 1200}),
            *(client.kv_add({f"more{number}": number}) for number in range(10)),
            return_exceptions=True,
        )
        assert [end for end in ends if end is not True] == [ends[10]]
        assert isinstance(ends[10], ConnectionLostError)
        assert await client.kv_count() == 20


async def test_a_large_frame_that_a_restart_has_cut_is_repeated_and_then_nothing_is_suspected() -> None:
    async def die_of_the_first(visit: Visit) -> None:
        await visit.next_request()
        visit.abort()

    async with (
        asyncio.timeout(GUARD),
        Host(die_of_the_first, honest) as host,
        NdbClient.connect(host.uri) as client,
    ):
        assert await client.kv_set({"a": "x" * 5000})
        assert await client.kv_get(("a",)) == {"a": "x" * 5000}


async def test_large_frames_that_the_server_takes_are_not_suspected_in_a_restart() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        ChaosProxy(host.port) as proxy,
        NdbClient.connect(proxy.uri) as client,
    ):
        for _ in range(4):
            await client.kv_set({"a": "x" * 5000})
            call = asyncio.create_task(client.kv_set({"a": "x" * 4000}))
            await asyncio.sleep(0)
            proxy.cut_all()
            assert await call


async def test_small_frames_are_never_suspected() -> None:
    async def die_of_three(visit: Visit) -> None:
        await visit.next_request()
        visit.abort()

    async with (
        asyncio.timeout(GUARD),
        Host(die_of_three, die_of_three, die_of_three, honest) as host,
        NdbClient.connect(host.uri) as client,
    ):
        assert await client.kv_set({"a": "x" * 900})


async def test_a_server_that_says_that_a_message_was_too_large_is_believed_at_once() -> None:
    async def close_over_large(visit: Visit) -> None:
        await visit.next_request()
        visit.write_together(close=1009)
        await visit.wait_closed()

    async with asyncio.timeout(GUARD), Host(close_over_large) as host, NdbClient.connect(host.uri) as client:
        with pytest.raises(ConnectionLostError, match="max_payload"):
            await client.kv_set({"a": "x" * 1500})
        assert len(host.requests) == 1
