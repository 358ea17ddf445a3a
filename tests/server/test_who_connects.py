"""How many may connect, from which pages, and for how long without saying anything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from ndb_models import InvalidArgumentError, NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.server.http_client import fetch
from tests.server.plain_client import GUARD, ask, plain

PAGE = "https://app.example.org"


@contextlib.asynccontextmanager
async def serving(**options: object) -> AsyncIterator[NdbServer]:
    chosen = ServerOptions(port=0, **options)  # type: ignore[arg-type]  # what a test gives is what the option takes
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), chosen) as server:
        yield server


async def status_of_connecting(server: NdbServer, **options: object) -> int:
    """Return the HTTP status of a handshake: 101 where it succeeds."""
    try:
        async with plain(server, **options):
            return 101
    except InvalidStatus as exc:
        return exc.response.status_code


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (PAGE, 101),
        ("http://localhost:8000", 101),
        (None, 101),
        ("https://evil.example", 403),
        ("https://app.example.org.evil.example", 403),
        ("https://app.example.org:8443", 403),
        ("http://app.example.org", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_pages_connect_from_the_origins_that_are_allowed_alone(origin: str | None, status: int) -> None:
    async with serving(allow_origins=(PAGE, "http://localhost:8000")) as server:
        headers = {} if origin is None else {"Origin": origin}
        assert await status_of_connecting(server, additional_headers=headers) == status


@pytest.mark.parametrize("origin", ["*", "app.example.org", "https://app.example.org/", "HTTPS://APP", "null", ""])
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(InvalidArgumentError, match="origin"):
        ServerOptions(allow_origins=(origin,))


async def test_a_client_more_than_there_may_be_is_told_to_come_back() -> None:
    async with serving(max_connections=2) as server, plain(server) as first, plain(server):
        with pytest.raises(InvalidStatus) as refused:
            async with plain(server):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"
        assert (await fetch(server, "/healthz")).status == 200
        await first.close()
        assert await status_of_connecting(server) == 101


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with serving(open_timeout=0.1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_a_handshake_that_never_ends_is_closed() -> None:
    async with serving(open_timeout=0.1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_a_silent_connection_does_not_hold_up_stopping() -> None:
    async with asyncio.timeout(GUARD), serving(open_timeout=60.0) as server:
        with socket.create_connection(("127.0.0.1", server.port)):
            async with plain(server) as websocket:
                await ask(websocket, "KV_COUNT")
                await server.stop()


async def test_a_client_that_asks_nothing_for_too_long_is_sent_away() -> None:
    async with serving(idle_timeout=0.5) as server, plain(server) as websocket:
        await ask(websocket, "KV_COUNT")
        await websocket.wait_closed()
        assert (websocket.close_code, websocket.close_reason) == (1001, "idle")
        assert 'reason="idle"} 1' in (await fetch(server, "/metrics")).body


async def test_an_idle_client_that_does_not_close_is_cut_off() -> None:
    class Deaf(ClientConnection):
        def data_received(self, data: bytes) -> None:
            if self.response is None:
                super().data_received(data)

    async with (
        serving(idle_timeout=0.1, send_timeout=0.1) as server,
        plain(server, create_connection=Deaf, ping_interval=None) as websocket,
    ):
        await websocket.wait_closed()
        assert websocket.close_code == 1006


async def test_a_client_that_goes_on_asking_stays() -> None:
    async with serving(idle_timeout=1.5) as server, plain(server) as websocket:
        loop = asyncio.get_running_loop()
        until = loop.time() + 2.5
        while loop.time() < until:
            await ask(websocket, "KV_COUNT")
            await asyncio.sleep(0.05)


async def test_the_package_s_client_comes_back_after_it_was_sent_away() -> None:
    async with serving(idle_timeout=0.05) as server, NdbClient.connect(server.uri) as client:
        await client.kv_set({"a": 1})
        while 'reason="idle"} 1' not in (await fetch(server, "/metrics")).body:
            pass
        assert await client.kv_get(("a",)) == {"a": 1}


@pytest.mark.parametrize(
    "option",
    [
        {"max_payload": 0},
        {"send_timeout": 0},
        {"max_connections": -1},
        {"max_in_flight": 0},
        {"max_handshakes": 0},
        {"max_header_bytes": 0},
        {"max_connections_per_address": 0},
        {"handshake_rate_per_address": 0},
        {"miss_rate": float("nan")},
        {"miss_rate_per_address": 0},
        {"open_timeout": float("nan")},
        {"idle_timeout": 0},
        {"stop_timeout": -1},
    ],
    ids=lambda option: next(iter(option)),
)
def test_options_out_of_range_are_refused_by_name(option: dict[str, float]) -> None:
    (name,) = option
    with pytest.raises(InvalidArgumentError, match=name):
        ServerOptions(**option)  # type: ignore[arg-type]  # that is the point
