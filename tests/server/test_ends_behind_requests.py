"""What ends a connection comes in its turn: requests before it are answered, also where the store makes them wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.sqlite import SqliteStore
from tests.server.gated_store import GatedStore
from tests.server.plain_client import GUARD
from tests.server.raw_connection import Opcode, frame, raw

SET = frame(b'{"KV_SET":{"keys":{"a":1}}}')
GET = frame(b'{"KV_GET":{"keys":["a"]}}')
FRAGMENTED = frame(b'{"KV_', final=False) + frame(b'COUNT":{}}', opcode=Opcode.CONTINUATION)
SAVE = frame(b'{"SH_SAVE":{"name":"all"}}')
NO_JSON = frame(b"{")
NOT_CARRIED_OUT = frame(b'{"KV_SET":{"keys":{"behind":1}}}')

# How many answers there are.
REQUESTS = {
    "one": (SET, 1),
    "several": ((SET + GET) * 3 + FRAGMENTED + NO_JSON + frame(b"", opcode=Opcode.BINARY), 9),
    "a save": (SAVE + GET, 2),
    "more than may wait": (SET * 300, 300),
}
ENDS = {
    "a close frame": (frame(b"\x03\xe8", opcode=Opcode.CLOSE), 1000),
    "a close frame without a code": (frame(b"", opcode=Opcode.CLOSE), 1005),
    "a close frame of one byte": (frame(b"\x03", opcode=Opcode.CLOSE), 1002),
    "a close frame whose code is none": (frame(b"\x03\xed", opcode=Opcode.CLOSE), 1002),
    "reserved bits": (frame(b"x", reserved=1), 1002),
    "no mask": (frame(b"x", mask=None), 1002),
    "nothing to continue": (frame(b"x", opcode=Opcode.CONTINUATION), 1002),
    "too large": (frame(b"x" * 2000), 1009),
    "no UTF-8": (frame(b"\xff\xff"), 1007),
}


@pytest.fixture(params=["memory", "sqlite"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NdbServer]:
    store: MemoryStore | SqliteStore = MemoryStore()
    if request.param == "sqlite":
        store = SqliteStore(tmp_path / "sessions.db")
        await store.open()
    options = ServerOptions(port=0, max_payload=1000)
    async with asyncio.timeout(GUARD), NdbServer(Engine(store, persist_path=tmp_path), options) as server:
        yield server


@pytest.mark.parametrize("requests", REQUESTS)
@pytest.mark.parametrize("end", ENDS)
async def test_requests_before_the_end_are_answered_and_those_behind_are_not_carried_out(
    server: NdbServer, requests: str, end: str
) -> None:
    (sent, answers), (last, code) = REQUESTS[requests], ENDS[end]
    async with raw(server.port) as client:
        await client.open()
        await client.send(sent + last + NOT_CARRIED_OUT)
        received = await client.until_closed()
    assert received.code == code
    assert len(received.messages) == answers
    async with raw(server.port) as other:
        await other.open()
        await other.send(frame(b'{"KV_CONTAINS":{"keys":["behind"]}}'))
        assert b'"contains":[]' in (await other.receive())[1]


@pytest.mark.parametrize("requests", REQUESTS)
@pytest.mark.parametrize("end", [b"", ENDS["a close frame"][0]], ids=["alone", "behind a close frame"])
async def test_a_client_that_sends_no_more_gets_its_answers(server: NdbServer, requests: str, end: bytes) -> None:
    sent, answers = REQUESTS[requests]
    async with raw(server.port) as client:
        await client.open()
        await client.send(sent + end)
        client.writer.write_eof()
        assert len((await client.until_closed()).messages) == answers


@contextlib.asynccontextmanager
async def gated(store: GatedStore, directory: Path, stop_timeout: float = GUARD) -> AsyncIterator[NdbServer]:
    options = ServerOptions(port=0, stop_timeout=stop_timeout)
    async with asyncio.timeout(GUARD), NdbServer(Engine(store, persist_path=directory), options) as server:
        yield server


async def test_pings_before_the_end_are_answered_while_a_request_is(tmp_path: Path) -> None:
    store = GatedStore()
    async with gated(store, tmp_path) as server, raw(server.port) as client:
        await client.open()
        await client.send(SAVE + GET + frame(b"1", opcode=Opcode.PING) + ENDS["a close frame"][0])
        assert await client.receive() == (Opcode.PONG, b"1")
        store.gate.set()
        received = await client.until_closed()
    assert (received.code, [opcode for opcode, _ in received.messages]) == (1000, [Opcode.TEXT, Opcode.TEXT])


@pytest.mark.parametrize("half_closed", [False, True])
async def test_an_end_that_waits_does_not_hold_up_stopping(tmp_path: Path, half_closed: bool) -> None:
    store = GatedStore()
    async with gated(store, tmp_path, stop_timeout=0.1) as server, raw(server.port) as client:
        await client.open()
        await client.send(SAVE + GET + ENDS["a close frame"][0])
        await store.entered.wait()
        if half_closed:
            client.writer.write_eof()
        await server.stop()
        assert await client.rest() == b""
