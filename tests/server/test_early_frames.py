"""Frames that come with the handshake, before its answer: they are answered after it, in order."""

from __future__ import annotations

import asyncio

import pytest

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.server.plain_client import GUARD
from tests.server.raw_connection import HANDSHAKE, Opcode, RawConnection, frame, raw

SET = frame(b'{"KV_SET":{"keys":{"a":1}}}')
GET = frame(b'{"KV_GET":{"keys":["a"]}}')
FRAGMENTS = (
    frame(b'{"KV_', final=False) + frame(b"in", opcode=Opcode.PING) + frame(b'COUNT":{}}', opcode=Opcode.CONTINUATION)
)
EARLY = (
    SET
    + frame(b"", opcode=Opcode.BINARY)
    + frame(b"1", opcode=Opcode.PING)
    + GET
    + FRAGMENTS
    + frame(b"\x03\xe8", opcode=Opcode.CLOSE)
)
NAMES = [b"KV_SET_RSP", b"ERR", b"1", b"KV_GET_RSP", b"in", b"KV_COUNT_RSP"]


async def answered(connection: RawConnection) -> None:
    response = await connection.reader.readuntil(b"\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 101 "), response
    received = await connection.until_closed()
    assert received.code == 1000
    assert [opcode for opcode, _ in received.messages] == [
        Opcode.TEXT,
        Opcode.TEXT,
        Opcode.PONG,
        Opcode.TEXT,
        Opcode.PONG,
        Opcode.TEXT,
    ]
    assert all(name in payload for name, (_, payload) in zip(NAMES, received.messages, strict=True))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, len(HANDSHAKE) - 1, len(HANDSHAKE) + 1, len(HANDSHAKE + EARLY)])
async def test_frames_that_come_with_the_handshake_are_answered_in_order(size: int) -> None:
    options = ServerOptions(port=0)
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), options) as server, raw(server.port) as client:
        sent = HANDSHAKE + EARLY
        for start in range(0, len(sent), size):
            await client.send(sent[start : start + size])
            await asyncio.sleep(0)
        await answered(client)


async def test_more_early_frames_than_fit_into_a_turn_are_all_answered() -> None:
    options = ServerOptions(port=0)
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), options) as server, raw(server.port) as client:
        await client.send(HANDSHAKE + SET * 1000 + frame(b"", opcode=Opcode.CLOSE))
        await client.reader.readuntil(b"\r\n\r\n")
        assert len((await client.until_closed()).messages) == 1000


@pytest.mark.parametrize("request_", [HANDSHAKE.replace(b"13", b"12"), b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_what_comes_behind_a_request_that_becomes_no_connection_is_dropped(request_: bytes) -> None:
    options = ServerOptions(port=0)
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), options) as server:
        async with raw(server.port) as client:
            await client.send(request_ + SET)
            response = await client.reader.readuntil(b"\r\n\r\n")
            assert b"101" not in response.partition(b"\r\n")[0]
            client.writer.write_eof()
            assert b"RSP" not in await client.rest()
        async with raw(server.port) as other:
            await other.open()
            await other.send(frame(b'{"KV_COUNT":{}}'))
            assert b'"cnt":0' in (await other.receive())[1]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"\xc1\x82", 1002),
        (b"\x83\x80", 1002),
        (b"\x81\x02", 1002),
        (b"\x09\x80", 1002),
        (b"\x89\xfe", 1002),
        (b"\x80\x80", 1002),
        (b"\x81\xfe\x00\x7d", 1002),
        (b"\x82\xff" + (2**20 + 1).to_bytes(8), 1009),
    ],
)
@pytest.mark.parametrize("early", [False, True])
async def test_a_bad_header_closes_the_connection_before_its_payload_comes(
    header: bytes, code: int, early: bool
) -> None:
    options = ServerOptions(port=0)
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), options) as server, raw(server.port) as client:
        if early:
            await client.send(HANDSHAKE + SET + header)
            await client.reader.readuntil(b"\r\n\r\n")
        else:
            await client.open()
            await client.send(SET)
            for number in range(len(header)):
                await client.send(header[number : number + 1])
                await asyncio.sleep(0)
        received = await client.until_closed()
        assert received.code == code
        assert [opcode for opcode, _ in received.messages] == [Opcode.TEXT]
