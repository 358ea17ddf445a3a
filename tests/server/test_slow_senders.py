"""Clients that begin and do not end: a handshake, a message, a connection. They are cut off, each after its time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.server.gated_store import GatedStore
from tests.server.plain_client import GUARD, ask, plain
from tests.server.raw_connection import Opcode, RawConnection, frame, raw

pytestmark = [pytest.mark.slow, pytest.mark.loop]

SOON = 0.2
LATE = 60.0
REQUEST = b'{"KV_COUNT":{}}'
ANSWER = (Opcode.TEXT, b'{"KV_COUNT_RSP":{"cnt":0,"st":1}}')


@contextlib.asynccontextmanager
async def serving(
    *, open_timeout: float = LATE, receive_timeout: float = LATE, close_timeout: float = LATE
) -> AsyncIterator[NdbServer]:
    options = ServerOptions(
        port=0, open_timeout=open_timeout, receive_timeout=receive_timeout, close_timeout=close_timeout
    )
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), options) as server:
        yield server


async def trickle(connection: RawConnection, data: bytes) -> None:
    """Send a byte every now and then, until the server has had enough."""
    with contextlib.suppress(ConnectionError):
        for number in range(len(data)):
            await connection.send(data[number : number + 1])
            await asyncio.sleep(SOON / 20)


async def send_without_end(connection: RawConnection) -> None:
    while True:
        await connection.send(frame(REQUEST))
        await asyncio.sleep(SOON / 10)


@pytest.mark.parametrize("begun", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_handshake_that_does_not_end_is_cut_off(begun: bytes) -> None:
    async with serving(open_timeout=SOON) as server, raw(server.port) as connection:
        await connection.send(begun)
        assert await connection.rest() == b""


async def test_a_handshake_that_trickles_in_is_cut_off() -> None:
    async with serving(open_timeout=SOON) as server, raw(server.port) as connection:
        started = time.monotonic()
        await trickle(connection, b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 1000)
        assert time.monotonic() - started < GUARD
        with contextlib.suppress(ConnectionError):
            assert b"101" not in await connection.rest()


@pytest.mark.parametrize(
    "begun",
    [
        frame(REQUEST)[:1],
        frame(REQUEST)[:-1],
        frame(REQUEST) + frame(REQUEST)[:5],
        frame(REQUEST[:5], final=False),
        frame(REQUEST[:5], final=False) + frame(b"", opcode=Opcode.CONTINUATION, final=False) * 3,
        frame(REQUEST[:5], final=False) + frame(b"", opcode=Opcode.PING) * 3,
        frame(b"", opcode=Opcode.PING)[:4],
    ],
    ids=range(7),
)
async def test_a_message_that_does_not_end_closes_its_connection_alone(begun: bytes) -> None:
    async with serving(receive_timeout=SOON) as server, plain(server) as other, raw(server.port) as connection:
        await connection.open()
        await connection.send(begun)
        received = await connection.until_closed()
        assert received.code == 1008
        texts = [message for message in received.messages if message[0] == Opcode.TEXT]
        assert texts == [ANSWER] * begun.count(frame(REQUEST))
        assert (await ask(other, "KV_COUNT"))["cnt"] == 0


async def test_a_message_that_trickles_in_is_not_waited_for() -> None:
    async with serving(receive_timeout=SOON) as server, raw(server.port) as connection:
        await connection.open()
        trickling = asyncio.create_task(trickle(connection, frame(REQUEST.ljust(1000))))
        assert (await connection.until_closed()).code == 1008
        assert not trickling.done()
        trickling.cancel()


async def test_whoever_always_has_a_request_on_the_way_is_not_late() -> None:
    """Of what arrives together the last request is mostly cut: each has its own time."""
    async with serving(receive_timeout=5 * SOON) as server, raw(server.port) as connection:
        await connection.open()
        request, begun = frame(REQUEST), 3
        await connection.send(request[:begun])
        for _ in range(30):
            await connection.send(request[begun:] + request[:begun])
            assert await connection.receive() == ANSWER
            await asyncio.sleep(SOON / 3)
        await connection.send(request[begun:])
        assert await connection.receive() == ANSWER


async def test_a_request_that_came_in_whole_may_take_its_time() -> None:
    """It is the server then that the client waits for."""
    store = GatedStore()
    waits = b'{"KV_FIND":{"path":"$","rsp":"keys"}}'
    options = ServerOptions(port=0, receive_timeout=SOON)
    async with asyncio.timeout(GUARD), NdbServer(Engine(store), options) as server, raw(server.port) as connection:
        await connection.open()
        await connection.send(frame(waits) + frame(REQUEST))
        await asyncio.sleep(2 * SOON)
        store.gate.set()
        assert await connection.receive() == (Opcode.TEXT, b'{"KV_FIND_RSP":{"keys":[],"st":1}}')
        assert await connection.receive() == ANSWER


@pytest.mark.parametrize(
    ("ending", "code"),
    [(frame(b"\x03\xe8", opcode=Opcode.CLOSE), 1000), (frame(b"\xff"), 1007), (frame(b"", opcode=3), 1002)],
)
async def test_whoever_does_not_end_a_closed_connection_is_cut_off(ending: bytes, code: int) -> None:
    async with serving(close_timeout=SOON) as server, raw(server.port) as connection:
        await connection.open()
        await connection.send(ending)
        assert (await connection.until_closed()).code == code
        with pytest.raises(ConnectionError):  # what is sent to nobody comes back as an error
            await send_without_end(connection)
