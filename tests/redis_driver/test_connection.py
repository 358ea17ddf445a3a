"""A connection without a server: replies go to those who asked, whatever comes in."""

from __future__ import annotations

import asyncio

import pytest

from ndb_models.stores.redis.connection import Connection, RequestLostError


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


def receive(connection: Connection, data: bytes) -> None:
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def connection(wire: Wire) -> Connection:
    connection = Connection(asyncio.get_running_loop(), 10, lambda _lost: None)
    connection.connection_made(wire)
    return connection


async def test_a_reply_too_many_does_not_go_to_a_request_that_is_not_sent_yet(
    connection: Connection, wire: Wire
) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    first, second = (connection.request(frame, deadline) for frame in (b"first", b"second"))
    assert wire.written == [b"first"]
    receive(connection, b"+1\r\n+2\r\n")
    assert await first == b"1"
    with pytest.raises(RequestLostError, match="without being asked") as lost:
        await second
    assert not lost.value.sent
    assert wire.aborted
    await asyncio.sleep(0)
    assert wire.written == [b"first"]


async def test_a_reply_that_comes_in_parts_goes_to_the_one_who_asked(connection: Connection) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    first, second = (connection.request(frame, deadline) for frame in (b"first", b"second"))
    await asyncio.sleep(0)
    for part in (b"$", b"3\r\nab", b"c\r\n:", b"7\r\n"):
        receive(connection, part)
    assert (await first, await second) == (b"abc", 7)
    connection.drop("the test is over")
