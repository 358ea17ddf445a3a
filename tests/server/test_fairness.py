"""A client that floods waits in turns of the event loop, and others do not notice: in answers, not in seconds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.fair_queue import FRAMES_A_TURN, SECONDS_A_ROUND, Rounds, charged
from ndb_models.server.fair_shares import Account
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.server.plain_client import GUARD, ask, plain
from tests.server.raw_connection import Opcode, RawConnection, frame, raw

pytestmark = pytest.mark.unmeasured

FLOODS = {
    "get": frame(b'{"KV_GET":{"keys":["a"]}}'),
    "set": frame(b'{"KV_SET":{"keys":{"a":1}}}'),
    "new session": frame(b'{"SH_NEW":{}}'),
    "bad JSON": frame(b"{"),
    "pings": frame(b"", opcode=Opcode.PING),
    "pongs": frame(b"", opcode=Opcode.PONG),
    "binary": frame(b"", opcode=Opcode.BINARY),
    "fragments": frame(b"{", final=False)
    + frame(b"", opcode=Opcode.CONTINUATION, final=False) * 50
    + frame(b"", opcode=0),
    "empty text": frame(b""),
    "large values": frame(json.dumps({"KV_SET": {"keys": {"a": "x" * 100_000}}}).encode()),
    "unknown commands": frame(b'{"KV_X":{}}'),
}
BYTES = 400_000
# Seconds. A flood keeps this process busy, and what else the machine does comes on top.
LONGEST = 2 * GUARD


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[NdbServer]:
    async with asyncio.timeout(LONGEST), NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server:
        yield server


async def count_messages(connection: RawConnection, counted: list[int]) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            await connection.receive()
            counted[0] += 1


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_that_came_first_is_not_answered_first(kind: str) -> None:
    flood = FLOODS[kind] * (BYTES // len(FLOODS[kind]))
    request = frame(b'{"SV_INFO":{}}')
    async with serving() as server, raw(server.port) as flooding, raw(server.port) as other:
        await flooding.open()
        await other.open()
        counted = [0]
        reading = asyncio.create_task(count_messages(flooding, counted))
        flooding.writer.write(flood)
        for _ in range(5):
            before = counted[0]
            await other.send(request)
            assert (await other.receive())[0] == Opcode.TEXT
            # A few turns of the loop go by, and in each the flood has its budget. The network hands over many at once.
            assert counted[0] - before <= 40 * FRAMES_A_TURN
        reading.cancel()


@pytest.mark.parametrize("kind", ["get", "pings", "fragments"])
async def test_all_of_a_flood_is_answered_in_order(kind: str) -> None:
    count = max(1, 100_000 // len(FLOODS[kind]))
    async with serving() as server, raw(server.port) as flooding:
        await flooding.open()
        flooding.writer.write(FLOODS[kind] * count + frame(b'{"KV_COUNT":{}}') + frame(b"\x03\xe8", opcode=8))
        received = await flooding.until_closed()
    answers = [message for opcode, message in received.messages if opcode != Opcode.PING]  # the server's own
    assert received.code == 1000
    assert len(answers) == count + 1
    assert b"KV_COUNT_RSP" in answers[-1]


async def test_no_more_is_read_from_a_flood_than_fits_into_a_few_reads() -> None:
    async with serving() as server, raw(server.port) as flooding:
        await flooding.open()
        reading = asyncio.create_task(count_messages(flooding, [0]))
        await flooding.send(FLOODS["empty text"] * 100)
        tracemalloc.start()
        try:
            flooding.writer.write(FLOODS["empty text"] * 700_000)
            sent, _ = tracemalloc.get_traced_memory()
            await turns_of_the_loop(200)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            reading.cancel()
    assert kept - sent < 2_000_000


async def test_what_was_read_is_answered_before_the_server_stops() -> None:
    async with serving() as server, raw(server.port) as client:
        await client.open()
        await client.send(FLOODS["get"] * 1000)
        assert (await client.receive())[0] == Opcode.TEXT
        stopping = asyncio.create_task(server.stop())
        answers = 0
        while (await client.receive())[0] != Opcode.CLOSE:
            answers += 1
        client.writer.transport.abort()
        await stopping
    assert answers == 999


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_server_stops_in_time_whatever_floods_it(kind: str) -> None:
    options = ServerOptions(port=0, stop_timeout=0.1)
    async with (
        asyncio.timeout(LONGEST),
        NdbServer(Engine(MemoryStore()), options) as server,
        raw(server.port) as client,
    ):
        await client.open()

        async def send() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await client.send(FLOODS[kind] * max(1, 100_000 // len(FLOODS[kind])))

        tasks = [asyncio.create_task(send()), asyncio.create_task(count_messages(client, [0]))]
        await asyncio.sleep(0.05)
        # The flood keeps this process busy: what other processes take of the machine does not count.
        started = time.process_time()
        await server.stop()
        assert time.process_time() - started < 5
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_client_that_resets_its_connection_amid_a_flood_leaves_nothing_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as server, plain(server) as other:
        await ask(other, "KV_SET", keys={"a": "x" * 70_000})  # each answer is a write
        for _ in range(10):
            async with raw(server.port) as flooding:
                await flooding.open()
                await flooding.send(FLOODS["get"] * 1000)
        await turns_of_the_loop(200)
        assert (await ask(other, "KV_COUNT"))["cnt"] == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_turns_that_were_used_up_are_counted() -> None:
    async with serving() as server, raw(server.port) as flooding, plain(server) as other:
        await flooding.open()
        flooding.writer.write(FLOODS["pongs"] * 10_000)
        await ask(other, "SV_INFO")
        async with raw(server.port) as scrape:
            await scrape.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            text = (await scrape.rest()).decode()
    assert int(text.partition("\nndb_turns_used_up_total ")[2].partition("\n")[0]) > 0


async def turns_of_the_loop(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Busy:
    """A connection that always has more to do."""

    def __init__(self, name: str, rounds: Rounds, cost: float, log: list[str], clock: list[float]) -> None:
        self.account = Account()
        self.is_cut = False
        self.fails = False
        self._name, self._rounds, self._cost, self._log, self._clock = name, rounds, cost, log, clock

    def take_turn(self) -> None:
        self._log.append(self._name)
        self._clock[0] += self._cost
        self._rounds.charge(self.account, self._cost)
        if self.fails:
            raise ValueError
        self._rounds.ask(self)

    def cut(self) -> None:
        self.is_cut = True


async def test_the_time_of_rounds_is_shared_by_what_each_has_used() -> None:
    clock = [0.0]
    log: list[str] = []
    rounds = Rounds(lambda: clock[0])
    for name, cost in (("cheap", SECONDS_A_ROUND / 10), ("dear", SECONDS_A_ROUND)):
        rounds.ask(Busy(name, rounds, cost, log, clock))
    await turns_of_the_loop(100)
    assert 8 <= log.count("cheap") / log.count("dear") <= 12


async def test_who_comes_after_a_pause_goes_first_and_does_not_keep_others_waiting() -> None:
    clock = [0.0]
    log: list[str] = []
    rounds = Rounds(lambda: clock[0])
    for name in "ab":
        rounds.ask(Busy(name, rounds, SECONDS_A_ROUND, log, clock))
    await turns_of_the_loop(20)
    log.clear()
    rounds.ask(Busy("c", rounds, SECONDS_A_ROUND, log, clock))
    await turns_of_the_loop(12)
    assert "c" in log[:2]
    # The first turns in a row cost less than those of connections that never catch up.
    assert 2 <= min(log[:9].count(name) for name in "ab") <= 3


async def test_a_connection_whose_turn_fails_is_cut_and_others_go_on() -> None:
    clock = [0.0]
    log: list[str] = []
    rounds = Rounds(lambda: clock[0])
    bad, good = (Busy(name, rounds, SECONDS_A_ROUND, log, clock) for name in ("bad", "good"))
    bad.fails = True
    rounds.ask(bad)
    rounds.ask(good)
    await turns_of_the_loop(10)
    assert log.count("good") > 3
    assert bad.is_cut
    assert log.count("bad") == 1


async def test_a_step_of_a_task_waits_for_its_turn_and_one_that_was_cancelled_holds_up_nobody() -> None:
    clock = [0.0]
    log: list[str] = []
    rounds = Rounds(lambda: clock[0])
    account = Account()

    async def step(name: str) -> None:
        await rounds.turn(account)
        log.append(name)

    cancelled, kept = asyncio.create_task(step("cancelled")), asyncio.create_task(step("kept"))
    await asyncio.sleep(0)
    cancelled.cancel()
    await turns_of_the_loop(20)
    assert kept.done()
    assert log == ["kept"]


async def test_while_a_small_client_is_awaited_a_flood_waits_and_its_requests_are_answered_at_once() -> None:
    clock = [0.0]
    log: list[str] = []
    rounds = Rounds(lambda: clock[0])
    small = Account()
    flood = Busy("flood", rounds, SECONDS_A_ROUND * 10, log, clock)
    rounds.ask(flood)
    await turns_of_the_loop(5)
    rounds.arrived(small)
    rounds.charge(small, SECONDS_A_ROUND / 100)
    rounds.expect(small)
    log.clear()
    await turns_of_the_loop(20)  # the clock stands still: the loop waits
    assert log == []
    assert not rounds.arrived(small)
    await turns_of_the_loop(5)
    assert "flood" in log


async def test_all_steps_of_a_coroutine_are_charged_and_its_outcome_is_returned() -> None:
    clock = [0.0]
    spent: list[float] = []
    turns: list[str] = []

    async def work(future: asyncio.Future[int]) -> int:
        clock[0] += 1
        outcome = await future
        clock[0] += 2
        return outcome

    async def turn() -> None:
        turns.append("turn")

    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, 7)
    assert await charged(work(future), spent.append, turn, lambda: clock[0]) == 7
    assert spent == [1, 2]
    assert turns == ["turn"]


async def test_a_charged_coroutine_that_is_cancelled_can_clean_up() -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("cleaned")
            raise

    async def carry_out() -> None:
        await charged(work(), lambda _: None)

    task = asyncio.create_task(carry_out())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert log == ["cleaned"]


async def test_a_large_request_waits_for_turns_like_other_requests() -> None:
    """Each step of a large request is a turn of its connection: another client is answered between any two."""
    large = frame(json.dumps({"KV_SET": {"keys": {"a": [[0]] * 30_000}}}).encode())
    async with serving() as server, raw(server.port) as flooding, plain(server) as other:
        await flooding.open()
        flooding.writer.write(large * 5)
        await ask(other, "SV_INFO")
        answered = 0
        reading = asyncio.create_task(flooding.receive())
        while not reading.done():
            await ask(other, "SV_INFO")
            answered += 1
    assert answered >= 3


async def test_handshakes_go_on_beside_clients_that_always_have_requests_waiting() -> None:
    async with serving() as server, raw(server.port) as flooding:
        await flooding.open()
        reading = asyncio.create_task(count_messages(flooding, [0]))
        flooding.writer.write(FLOODS["get"] * 50_000)
        for _ in range(5):
            async with plain(server) as newcomer:
                await ask(newcomer, "SV_INFO")
        reading.cancel()


async def test_a_client_that_ends_its_side_with_its_handshake_is_answered() -> None:
    async with serving() as server, raw(server.port) as flooding:
        await flooding.open()
        reading = asyncio.create_task(count_messages(flooding, [0]))
        flooding.writer.write(FLOODS["get"] * 50_000)
        for _ in range(10):
            async with raw(server.port) as probe:
                probe.writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                probe.writer.write_eof()
                assert b"200 OK" in await probe.rest()
        reading.cancel()
