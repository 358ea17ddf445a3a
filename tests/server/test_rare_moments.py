"""Rare moments of a server: failures around it, signals that come together, and clients that are slow in part."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ndb_models import InvalidArgumentError, NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.server.listening import listen
from ndb_models.server.reloading import merged
from ndb_models.server.settings import Settings
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.sqlite import SqliteStore
from tests.server.gated_store import GatedStore
from tests.server.http_client import fetch
from tests.server.plain_client import GUARD
from tests.server.raw_connection import HANDSHAKE, Opcode, frame, raw

TLS = Path(__file__).parents[1] / "transport" / "tls"
PAIR = (TLS / "certificate.pem", TLS / "key.pem")


def request(command: str, /, **body: Any) -> bytes:
    return json.dumps({command: body}).encode()


async def test_metrics_are_told_without_those_of_a_store_that_fails(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "sessions.db"))
    async with store, NdbServer(Engine(store), ServerOptions(port=0)) as server:
        assert "\nndb_sessions 0\n" in (await fetch(server, "/metrics")).body
        store.leave()
        metrics = await fetch(server, "/metrics")
        assert metrics.status == 200
        assert "\nndb_connections 0\n" in metrics.body
        assert "\nndb_sessions " not in metrics.body


async def test_a_connection_that_is_gone_before_it_is_accepted_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    accept, failed = socket.socket.accept, 0

    def accept_later(listening: socket.socket) -> Any:
        nonlocal failed
        if not failed:
            failed += 1
            raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", accept_later)
    async with (
        asyncio.timeout(GUARD),
        NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server,
        NdbClient.connect(server.uri) as client,
    ):
        assert await client.kv_count() == 0
        assert failed == 1


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_in_while_the_server_stops_is_closed(turns: int) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server:
        await asyncio.sleep(0)  # it waits for connections
        with socket.create_connection(("127.0.0.1", server.port), timeout=GUARD) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.stop()
            gc.collect()  # a socket that was left open warns
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
    assert complaints == []


async def test_a_server_listens_on_an_address_of_ipv6() -> None:
    async with asyncio.timeout(GUARD):
        server = NdbServer(Engine(MemoryStore()), ServerOptions(host="::1", port=0))
        try:
            await server.start()
        except OSError as exc:
            pytest.skip(f"this machine has no IPv6: {exc}")
        async with NdbClient.connect(server.uri) as client:
            assert server.uri.startswith("ws://[::1]:")
            assert await client.kv_count() == 0
        await server.stop()


async def test_an_address_that_this_machine_does_not_have_is_named() -> None:
    server = NdbServer(Engine(MemoryStore()), ServerOptions(host="192.0.2.1", port=0, insecure=True))
    with pytest.raises(OSError, match=r"port 0 of 192\.0\.2\.1 cannot be listened on") as failed:
        await server.start()
    assert failed.value.errno == errno.EADDRNOTAVAIL
    await server.stop()


async def test_where_one_of_two_addresses_is_taken_the_other_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", 0))
        taken.listen()
        port = taken.getsockname()[1]
        addresses = [("127.0.0.1", port), ("127.0.0.2", port)]

        async def getaddrinfo(*_: object, **__: object) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]

        with monkeypatch.context() as patch:
            patch.setattr(loop, "getaddrinfo", getaddrinfo)
            with pytest.raises(OSError, match=r".") as failed:
                await listen("sessions.test", port, reuse_port=False)
        assert failed.value.errno == errno.EADDRINUSE
    (listening,) = await listen("127.0.0.1", port, reuse_port=False)
    listening.close()


def test_a_reload_may_neither_take_the_last_token_away_nor_turn_tls_on_or_off() -> None:
    tokens = Tokens([(Role.DATA, "x" * 43)])
    plain, guarded, secure = Settings(), Settings(tokens=tokens), Settings(tls_cert=PAIR[0], tls_key=PAIR[1])
    assert merged(plain, guarded, guarded=False).tokens is tokens
    assert merged(plain, plain, guarded=False).tokens is None
    with pytest.raises(InvalidArgumentError, match="no tokens any more"):
        merged(guarded, plain, guarded=True)
    for started, read, how in ((plain, secure, "on"), (secure, plain, "off")):
        with pytest.raises(InvalidArgumentError, match=f"TLS cannot be turned {how}"):
            merged(started, read, guarded=False)


async def test_a_reload_before_the_start_checks_the_certificate_that_the_server_will_start_with(tmp_path: Path) -> None:
    server = NdbServer(Engine(MemoryStore()), ServerOptions(port=0, tls_cert=PAIR[0], tls_key=PAIR[1]))
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        server.reload(None, certificate=(tmp_path / "missing.pem", PAIR[1]))
    server.reload(None, certificate=PAIR)
    async with server:
        assert server.uri.startswith("wss://")


async def test_a_client_is_not_late_with_a_message_while_the_server_does_not_read(tmp_path: Path) -> None:
    """The rest of the last message waits in the network until there is room for it."""
    store = GatedStore()
    options = ServerOptions(port=0, max_in_flight=1, receive_timeout=0.1)
    last = frame(request("KV_CONTAINS", keys=["a" * 1000]))
    async with (
        asyncio.timeout(GUARD),
        NdbServer(Engine(store, persist_path=tmp_path), options) as server,
        raw(server.port) as connection,
    ):
        await connection.open()
        await connection.send(frame(request("KV_SAVE", name="a")) + frame(request("KV_COUNT")) + last[:500])
        await store.entered.wait()
        await asyncio.sleep(0.25)
        await connection.send(last[500:])
        store.gate.set()
        answers = [(await connection.receive())[1] for _ in range(3)]
        assert [next(iter(json.loads(answer))) for answer in answers] == [
            "KV_SAVE_RSP",
            "KV_COUNT_RSP",
            "KV_CONTAINS_RSP",
        ]


async def test_a_client_that_reads_a_little_in_each_while_is_not_cut_off() -> None:
    """What waits for it takes many times as long as it may take to read nothing."""
    value = "x" * 12_000_000
    options = ServerOptions(port=0, send_timeout=1.0, max_payload=16_000_000)
    loop = asyncio.get_running_loop()
    async with (
        asyncio.timeout(2 * GUARD),
        NdbServer(Engine(MemoryStore()), options) as server,
        NdbClient.connect(server.uri, max_payload=16_000_000) as client,
    ):
        await client.kv_set({"a": value})
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)  # so that little waits in the network
            slow.setblocking(False)
            await loop.sock_connect(slow, ("127.0.0.1", server.port))
            await loop.sock_sendall(slow, HANDSHAKE + frame(request("KV_GET", keys=["a"])))
            received = 0
            while received < len(value):
                data = await loop.sock_recv(slow, 256 * 1024)
                assert data, "the server cut it off"
                received += len(data)
                await asyncio.sleep(0.02)


async def test_a_client_that_does_not_answer_a_close_is_cut_off_in_its_time_and_is_not_called_idle() -> None:
    options = ServerOptions(port=0, idle_timeout=1.0, close_timeout=1.2)
    async with (
        asyncio.timeout(GUARD),
        NdbServer(Engine(MemoryStore()), options) as server,
        raw(server.port) as connection,
    ):
        await connection.open()
        await connection.send(frame(b"", reserved=1))
        assert (await connection.receive())[0] == Opcode.CLOSE
        assert await connection.rest() == b""
        await asyncio.sleep(0.6)  # longer than between two looks for requests
        metrics = (await fetch(server, "/metrics")).body
        assert 'ndb_connections_ended_total{reason="idle"} 0\n' in metrics


STOPPED_WHILE_RELOADING = """
import asyncio, os, signal
from ndb_models.server.signals import handling_signals, hold_signals

async def main():
    stopping = asyncio.Event()
    with handling_signals(stop=stopping.set, reload=lambda: print("reloaded")):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        await stopping.wait()
    await asyncio.sleep(0.01)
    print("stopped")

hold_signals()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
async def test_a_reload_that_comes_with_the_stop_is_left_out() -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STOPPED_WHILE_RELOADING, stdout=subprocess.PIPE
    )
    told, _ = await asyncio.wait_for(program.communicate(), 6 * GUARD)
    assert (program.returncode, told) == (0, b"stopped\n")
