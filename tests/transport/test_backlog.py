"""A server that drops answers once too many wait to be read, without a word, as NemesisDB does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Final

import pytest
from websockets.exceptions import ConnectionClosed

from ndb_models import NdbClient
from ndb_models.errors import ConnectionLostError, RequestTimeoutError
from ndb_models.protocol.framing import text_frame
from ndb_models.types import SessionToken
from tests.transport.servers import GUARD, Host, Visit

UNREAD_AT_MOST: Final = 128 * 1024
VALUE: Final = "x" * 1_000_000
READS: Final = 64


class Forgetful:
    """Answers everything, but of each connection keeps no answer while more than 128 KiB of earlier ones wait there."""

    def __init__(self) -> None:
        self.dropped = 0
        # While not set, nobody reads: it is as if the client, or the network to it, were busy.
        self.reading = asyncio.Event()
        self.reading.set()

    async def __call__(self, visit: Visit) -> None:
        waiting: deque[bytes] = deque()
        more = asyncio.Event()
        sending = asyncio.create_task(self._send(visit, waiting, more))
        try:
            while True:
                answer = await visit.answer(await visit.next_request())
                unsent = visit.connection.transport.get_write_buffer_size()
                if unsent + sum(len(text_frame(each)) for each in waiting) > UNREAD_AT_MOST:
                    self.dropped += 1
                else:
                    waiting.append(answer)
                    more.set()
        finally:
            sending.cancel()
            await asyncio.wait((sending,))

    async def _send(self, visit: Visit, waiting: deque[bytes], more: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await more.wait()
                await self.reading.wait()
                await visit.send(waiting.popleft())
                if not waiting:
                    more.clear()


async def large_session(host: Host) -> SessionToken:
    created = json.loads(await host.engine.handle(b'{"SH_NEW":{}}'))
    tkn = created["SH_NEW_RSP"]["tkn"]
    await host.engine.handle(json.dumps({"SH_SET": {"tkn": tkn, "keys": {"large": VALUE}}}).encode())
    assert isinstance(tkn, int)
    return tkn


async def widen(client: NdbClient) -> None:
    """Let the client learn that answers are small."""
    for _ in range(2):
        await asyncio.gather(*(client.kv_count() for _ in range(READS)))


async def read_together(client: NdbClient, tkn: SessionToken) -> list[object]:
    """Read the large session many times at once; what is read must be right. Returns the errors."""
    ends = await asyncio.gather(*(client.sh_get(("large",), tkn) for _ in range(READS)), return_exceptions=True)
    wrong = [end for end in ends if isinstance(end, dict) and end != {"large": VALUE}]
    assert not wrong
    return [end for end in ends if isinstance(end, BaseException)]


@pytest.mark.slow
@pytest.mark.parametrize("asked_before_reading", [1, 20, READS])
async def test_dropped_answers_are_errors_and_the_next_request_works_and_then_nothing_is_lost(
    asked_before_reading: int,
) -> None:
    forgetful = Forgetful()
    async with (
        asyncio.timeout(GUARD),
        Host(forgetful) as host,
        NdbClient.connect(host.uri, request_timeout=4) as client,
    ):
        tkn = await large_session(host)
        await widen(client)
        forgetful.reading.clear()
        before = len(host.requests)
        burst = asyncio.create_task(read_together(client, tkn))
        await host.received(before + asked_before_reading)
        forgetful.reading.set()
        errors = await burst
        assert forgetful.dropped
        assert all(isinstance(error, (ConnectionLostError, RequestTimeoutError)) for error in errors)
        assert await client.sh_get(("large",), tkn) == {"large": VALUE}
        forgetful.dropped = 0
        assert await read_together(client, tkn) == []
        assert forgetful.dropped == 0


async def test_answers_that_stay_small_are_never_dropped_however_many_are_asked_for() -> None:
    forgetful = Forgetful()
    async with asyncio.timeout(GUARD), Host(forgetful) as host, NdbClient.connect(host.uri) as client:
        await client.kv_set({"a": "x" * 5_000})
        ends = await asyncio.gather(*(client.kv_get(("a",)) for _ in range(2_000)))
        assert all(end == {"a": "x" * 5_000} for end in ends)
        assert forgetful.dropped == 0


# As many as fit exactly, one byte less, one more: there are fences between the answers too.
@pytest.mark.slow
@pytest.mark.parametrize("size", [1_000, 2_040, 2_048, 4_096, 8_192, 16_384, 33_000, 43_690, 43_691])
@pytest.mark.parametrize("reads_before", [2 * READS, 2 * READS + 1])
async def test_what_is_asked_for_while_nobody_reads_is_no_more_than_is_kept(size: int, reads_before: int) -> None:
    forgetful = Forgetful()
    async with (
        asyncio.timeout(GUARD),
        Host(forgetful) as host,
        NdbClient.connect(host.uri, request_timeout=1) as client,
    ):
        stored = {"a": "x" * (size - len('{"KV_GET_RSP":{"keys":{"a":""},"st":1}}'))}
        await client.kv_set(stored)
        for _ in range(reads_before):
            assert await client.kv_get(("a",)) == stored
        forgetful.reading.clear()
        calls = [asyncio.create_task(client.kv_get(("a",))) for _ in range(2 * READS)]
        # With a request over another connection everything that was sent before has come.
        await host.received(1 + reads_before + 1)
        async with NdbClient.connect(host.uri) as other:
            forgetful.reading.set()
            assert await other.kv_count() == 1
        assert all(answer == stored for answer in await asyncio.gather(*calls))
        assert forgetful.dropped == 0
