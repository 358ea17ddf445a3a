"""A name with several addresses: they are raced, and whatever becomes of the others, one that works is enough."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import importlib.util
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from ndb_models import ConnectError, NdbClient
from ndb_models.client.racing import Address, connected_socket, in_turns
from tests.transport.servers import GUARD, SOON, Host, refusing_port

NAME = "sessions.test"
V4, V6 = socket.AF_INET, socket.AF_INET6
DELAY = 0.05
"""Seconds until the next address is tried here."""


def local(port: int, host: str = "127.0.0.1") -> Address:
    return V4, (host, port)


@contextlib.contextmanager
def swallowing(host: str = "127.0.0.2") -> Iterator[Address]:
    """Yield an address that swallows what is sent to it: its queue of connections is full, and nobody takes any."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(3):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(address)
        yield V4, address


@contextlib.contextmanager
def listening() -> Iterator[Address]:
    """Yield an address that takes connections, and does nothing with them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield V4, listener.getsockname()


@contextlib.contextmanager
def counted_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Collect the sockets that are made to connect; others are those that a server has accepted."""
    made: list[socket.socket] = []

    class Counted(socket.socket):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            if "fileno" not in options:
                made.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", Counted)
        yield made


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: Address) -> None:
    """Let the name have these addresses, in this event loop."""

    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        if host != NAME:  # uvloop looks up addresses too
            return await look_up(host, port, **options)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", target) for family, target in addresses]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


def test_families_take_turns_in_the_order_in_which_addresses_were_given() -> None:
    one, two, three = local(1), local(2), local(3)
    six, seven = (V6, ("::1", 6, 0, 0)), (V6, ("::1", 7, 0, 0))
    assert in_turns([six, seven, one, two, three]) == [six, one, seven, two, three]
    assert in_turns([one, two, one]) == [one, two]
    assert in_turns([]) == []


async def test_one_that_swallows_packets_delays_no_more_than_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        with swallowing() as black_hole:
            resolving(monkeypatch, black_hole, local(host.port))
            start = time.monotonic()
            async with NdbClient.connect(f"ws://{NAME}:{host.port}/") as client:
                assert await client.kv_count() == 0
                assert time.monotonic() - start < SOON


async def test_one_that_refuses_is_followed_by_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        with refusing_port() as port:
            start = time.monotonic()
            won = await connected_socket([local(port)] * 3 + [local(host.port)], delay=GUARD)
            won.close()
            assert time.monotonic() - start < SOON


async def test_a_family_that_the_machine_does_not_have_is_passed_over() -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        missing = (socket.AF_PACKET, ("::1", 1))
        unreachable = (V6, ("2001:db8::1", host.port, 0, 0))
        won = await connected_socket([missing, unreachable, local(host.port)], delay=DELAY)
        assert won.getpeername() == ("127.0.0.1", host.port)
        won.close()


async def test_where_all_fail_the_error_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing_port() as port, refusing_port() as other:
        resolving(monkeypatch, local(port), local(other), (socket.AF_PACKET, ("::1", 1)))
        async with asyncio.timeout(GUARD):
            with pytest.raises(ConnectError, match="Connection refused") as failed:
                await NdbClient.connect(f"ws://{NAME}:{port}/")
        assert str(failed.value).count("refused") == 1


async def test_a_name_without_an_address_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch)
    with pytest.raises(ConnectError, match="no address"):
        await NdbClient.connect(f"ws://{NAME}:1987/")


async def test_where_all_swallow_the_time_is_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with swallowing() as one, swallowing("127.0.0.3") as other, counted_sockets(monkeypatch) as made:
        resolving(monkeypatch, one, other)
        async with asyncio.timeout(GUARD):
            with pytest.raises(ConnectError, match=r"no handshake within 0\.4 s"):
                await NdbClient.connect(f"ws://{NAME}:1987/", open_timeout=0.4)
        assert len(made) == 2
        assert [each.fileno() for each in made] == [-1, -1]
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_sockets_of_those_that_lose_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(GUARD), Host() as host, Host() as other:
        with swallowing() as black_hole, counted_sockets(monkeypatch) as made:
            won = await connected_socket([black_hole, local(host.port), local(other.port)], delay=DELAY)
            assert [each for each in made if each.fileno() != -1] == [won]
            won.close()


async def test_of_two_that_succeed_at_once_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(GUARD), Host() as host, Host() as other:
        with counted_sockets(monkeypatch) as made:
            won = await connected_socket([local(host.port), local(other.port)], delay=0)
            assert [each for each in made if each.fileno() != -1] == [won]
            won.close()


@pytest.mark.parametrize("turns", range(8))
async def test_racing_that_is_cancelled_leaves_nothing_behind(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with swallowing() as black_hole, listening() as address, counted_sockets(monkeypatch) as made:
        racing = asyncio.ensure_future(connected_socket([black_hole, black_hole, address], delay=0))
        for _ in range(turns):
            await asyncio.sleep(0)
        racing.cancel()
        await asyncio.wait((racing,))
        if not racing.cancelled():
            racing.result().close()
        assert all(each.fileno() == -1 for each in made)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_connection_is_made_again_to_the_address_that_works_when_the_other_has_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        with refusing_port() as port:
            async with Host(port=port) as dying:
                resolving(monkeypatch, local(dying.port), local(host.port))
                client = await NdbClient.connect(f"ws://{NAME}:{port}/")
                assert await client.kv_set({"a": 1})
            assert await client.kv_count() == 0
            assert (dying.handshakes, host.handshakes) == (1, 1)
            await client.close()


async def test_a_system_that_gives_up_connecting_is_named_and_is_no_time_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def time_out(_socket: socket.socket, _address: object) -> None:
        raise OSError(errno.ETIMEDOUT, "Connect call failed")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", time_out)
    with pytest.raises(ConnectError, match="timed out"):
        await NdbClient.connect("ws://127.0.0.1:1/")


def in_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop: Any = importlib.import_module("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
def test_it_is_the_same_in_uvloop() -> None:
    async def race() -> None:
        async with asyncio.timeout(GUARD), Host() as host:
            with swallowing() as black_hole, refusing_port() as port:
                won = await connected_socket([black_hole, local(port), local(host.port)], delay=DELAY)
                assert won.getpeername() == ("127.0.0.1", host.port)
                won.close()
            async with NdbClient.connect(host.uri) as client:
                assert await client.kv_count() == 0
        with refusing_port() as port, pytest.raises(ConnectError, match="Connection refused"):
            await NdbClient.connect(f"ws://127.0.0.1:{port}/")

    in_uvloop(race)


async def test_one_that_is_silent_for_long_is_still_waited_for_when_all_others_have_failed() -> None:
    """Its queue of connections is full, until it refuses them."""
    async with asyncio.timeout(GUARD):
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.3", 0))
            listener.listen(0)
            address = listener.getsockname()
            filling = [stack.enter_context(socket.socket()) for _ in range(3)]
            for each in filling:
                each.setblocking(False)
                each.connect_ex(address)
            port = stack.enter_context(refusing_port())
            racing = asyncio.create_task(connected_socket([(V4, address), local(port)], delay=DELAY))
            await asyncio.sleep(3 * DELAY)
            assert not racing.done()
            listener.close()  # from here on it refuses
            with pytest.raises(ConnectionRefusedError):
                await racing
