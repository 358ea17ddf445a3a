"""A connection without a server: replies go to those who asked, whatever comes in."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import socket
from collections.abc import Callable

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

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

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


async def test_the_server_gets_the_first_of_many_requests_before_the_turn_that_makes_them_ends(
    connection: Connection, wire: Wire
) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    at_once: list[int] = []
    for number in range(50):
        connection.request(b"%02d" % number, deadline).cancel()
        at_once.append(len(b"".join(wire.written)) // 2)
    await asyncio.sleep(0)
    assert b"".join(wire.written) == b"".join(b"%02d" % number for number in range(50))
    assert at_once[0] == 1  # the server is idle
    assert all(number + 1 - sent < 16 for number, sent in enumerate(at_once))
    assert len(wire.written) <= 10
    connection.drop("the test is over")


async def test_a_server_that_has_much_to_do_gets_few_writes(connection: Connection, wire: Wire) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    for _ in range(1000):
        connection.request(b"frame", deadline).cancel()
    await asyncio.sleep(0)
    assert len(wire.written) <= 1000 // 16 + 5
    connection.drop("the test is over")


async def _reached_within_the_turn(requests: int) -> bytes:
    """Return what a server received of requests before the turn that made them ended."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _, connection = await loop.create_connection(
            lambda: Connection(loop, 10, lambda _lost: None), *listener.getsockname()
        )
        server, _ = listener.accept()
        with server:
            for number in range(requests):
                connection.request(b"%02d" % number, loop.time() + 10).cancel()
            server.settimeout(10)
            received = server.recv(4096)
            connection.drop("the test is over")
    return received


@pytest.mark.parametrize("library", ["asyncio", "uvloop"])
def test_requests_leave_at_once_on_each_kind_of_event_loop(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(library).new_event_loop
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(_reached_within_the_turn(1)) == b"00"
        assert runner.run(_reached_within_the_turn(33)).startswith(b"0001")
