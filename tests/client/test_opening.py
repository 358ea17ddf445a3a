"""Opening and closing: what can be opened, what cannot, and what a client does that is not open."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from ndb_models.client import NdbClient
from ndb_models.client.uri import WebSocketUri, parse_uri
from ndb_models.errors import ConnectError, ConnectionLostError, InvalidArgumentError, NdbError, NotConnectedError
from ndb_models.server import NdbServer
from tests.client.scripted_server import answer_nothing, scripted


@pytest.fixture
def refusing_uri() -> Iterator[str]:
    """Where nothing listens, and nothing can start to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.fixture
async def forbidding_uri() -> AsyncIterator[str]:
    """Where a WebSocket server answers every handshake with 403."""

    def forbid(connection: ServerConnection, _request: Request) -> Response:
        return connection.respond(HTTPStatus.FORBIDDEN, "no")

    async def never(_connection: ServerConnection) -> None:
        raise AssertionError("the handshake succeeded")

    async with serve(never, "127.0.0.1", 0, process_request=forbid) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@contextlib.asynccontextmanager
async def tcp_peer(greeting: bytes = b"") -> AsyncIterator[str]:
    """Where something listens that is no WebSocket server: it says its greeting, and then nothing."""

    greeted: set[asyncio.Task[None]] = set()

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        with contextlib.suppress(ConnectionError):
            await reader.read()
            writer.close()
            await writer.wait_closed()

    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeted.add(asyncio.create_task(be_silent(reader, writer)))

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as peer:
        yield f"ws://127.0.0.1:{peer.sockets[0].getsockname()[1]}/"
    await asyncio.gather(*greeted)


async def test_open_says_whether_there_is_a_connection(server: NdbServer) -> None:
    client = NdbClient()
    assert await client.open(server.uri) is True
    assert await client.kv_count() == 0
    await client.close()


async def test_open_is_false_where_nothing_listens(refusing_uri: str) -> None:
    client = NdbClient()
    assert await client.open(refusing_uri) is False
    with pytest.raises(NotConnectedError):
        await client.kv_count()


async def test_open_is_false_where_the_handshake_is_forbidden(forbidding_uri: str) -> None:
    assert await NdbClient().open(forbidding_uri) is False


async def test_open_is_false_where_the_persist_path_is_no_directory(tmp_path: Path) -> None:
    assert await NdbClient().open(f"memory://?persist_path={tmp_path / 'missing'}") is False


async def test_connect_raises_where_nothing_listens(refusing_uri: str) -> None:
    with pytest.raises(ConnectError, match=refusing_uri) as failed:
        await NdbClient.connect(refusing_uri)
    assert failed.value.uri == refusing_uri
    assert isinstance(failed.value, ConnectionError)
    assert isinstance(failed.value.__cause__, OSError)


async def test_connect_raises_on_entering_where_the_handshake_is_forbidden(forbidding_uri: str) -> None:
    with pytest.raises(ConnectError, match="403"):
        async with NdbClient.connect(forbidding_uri):
            pass


async def test_connect_gives_up_on_a_peer_that_never_answers_the_handshake() -> None:
    async with tcp_peer() as uri, asyncio.timeout(30):
        with pytest.raises(ConnectError, match=r"0\.05 s"):
            await NdbClient.connect(uri, open_timeout=0.05)


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"\x00"]
)
async def test_connect_raises_where_something_else_answers(greeting: bytes) -> None:
    async with tcp_peer(greeting) as uri, asyncio.timeout(30):
        with pytest.raises(ConnectError):
            await NdbClient.connect(uri, open_timeout=0.2)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "127.0.0.1:1987",
        "nothing",
        "http://127.0.0.1:1987/",
        "ws://",
        "ws://:1987/",
        "ws://127.0.0.1:99999/",
        "ws://127.0.0.1:port/",
        "ws://[::1/",
        "memory://?unknown=1",
    ],
)
async def test_a_uri_that_names_nothing_is_a_value_error(uri: str) -> None:
    with pytest.raises(ValueError, match="URI"):
        await NdbClient().open(uri)
    with pytest.raises(InvalidArgumentError, match="URI"):
        await NdbClient.connect(uri)


async def test_a_value_error_leaves_the_open_connection_alone() -> None:
    async with NdbClient.connect("memory://") as client:
        await client.kv_set({"a": 1})
        with pytest.raises(ValueError, match="URI"):
            await client.open("")
        assert await client.kv_count() == 1


async def test_calls_before_open_and_after_close_say_that_the_client_is_not_open(server: NdbServer) -> None:
    client = NdbClient()
    with pytest.raises(NotConnectedError, match="open"):
        await client.kv_get(("a",))
    await client.open(server.uri)
    await client.close()
    for call in (client.kv_count, client.sh_create_session, client.sv_info):
        with pytest.raises(NotConnectedError, match="open"):
            await call()


async def test_closing_twice_or_without_opening_does_no_harm(client: NdbClient) -> None:
    await NdbClient().close()
    await client.close()
    await client.close()
    with pytest.raises(NotConnectedError):
        await client.kv_count()


async def test_a_closed_client_opens_again(server: NdbServer) -> None:
    client = NdbClient()
    for _ in range(3):
        assert await client.open(server.uri)
        await client.kv_set({"a": 1})
        await client.close()
    assert await client.open("memory://")
    assert await client.kv_count() == 0
    await client.close()


async def test_opening_an_open_client_moves_it(server: NdbServer) -> None:
    async with NdbClient.connect("memory://") as client:
        await client.kv_set({"a": 1})
        assert await client.open(server.uri)
        assert await client.kv_count() == 0


async def test_the_context_manager_closes_also_after_an_error(server: NdbServer) -> None:
    connecting = NdbClient.connect(server.uri)
    with pytest.raises(KeyError):
        async with connecting as client:
            raise KeyError
    with pytest.raises(NotConnectedError):
        await client.kv_count()


async def test_an_awaited_connect_is_the_callers_to_close(server: NdbServer) -> None:
    client = await NdbClient.connect(server.uri)
    assert await client.kv_count() == 0
    await client.close()
    with pytest.raises(NotConnectedError):
        await client.kv_count()


async def test_closing_fails_what_is_in_flight() -> None:
    async with scripted(answer_nothing) as uri, asyncio.timeout(30):
        client = await NdbClient.connect(uri)
        calls = [asyncio.create_task(client.kv_add({"a": 1})) for _ in range(3)]
        await asyncio.gather(client.close(), asyncio.wait(calls))
    for call in calls:
        assert isinstance(call.exception(), (ConnectionLostError, NotConnectedError))


async def test_a_uri_with_a_password_is_shown_without_it(refusing_uri: str) -> None:
    secret = secrets.token_hex()
    for uri in (
        refusing_uri.replace("ws://", f"ws://billy:{secret}@"),
        f"{refusing_uri}?token={secret}",
        f"http://billy:{secret}@127.0.0.1/",
        f"ws://billy:{secret}@127.0.0.1:99999/",
    ):
        with pytest.raises(NdbError) as failed:
            await NdbClient.connect(uri)
        assert secret not in str(failed.value)


async def test_memory_without_a_name_is_private_to_its_client() -> None:
    async with NdbClient.connect("memory://") as first, NdbClient.connect("memory://") as second:
        await first.kv_set({"a": 1})
        assert await second.kv_count() == 0


async def test_memory_with_a_name_is_shared_in_the_process_and_outlives_its_clients() -> None:
    uri = f"memory://{secrets.token_hex()}"
    async with NdbClient.connect(uri) as first, NdbClient.connect(uri) as second:
        tkn = (await first.sh_create_session()).tkn
        await first.sh_set({"a": 1}, tkn)
        assert await second.sh_get(("a",), tkn) == {"a": 1}
    async with NdbClient.connect(uri) as third, NdbClient.connect(uri + "x") as other:
        assert await third.sh_get(("a",), tkn) == {"a": 1}
        assert await other.sh_session_exists([tkn]) == []


async def test_memory_with_a_persist_path_saves_there(tmp_path: Path) -> None:
    uri = f"memory://?persist_path={tmp_path}"
    async with NdbClient.connect(uri) as first:
        await first.kv_set({"a": 1})
        await first.kv_save("keys")
    async with NdbClient.connect(uri) as second:
        assert await second.kv_count() == 0
        assert await second.kv_load("keys") == 1
        assert await second.kv_get(("a",)) == {"a": 1}


@pytest.mark.parametrize(("uri", "port"), [("ws://example.org/", "80"), ("wss://example.org/", "443")])
def test_a_uri_without_a_port_is_told_which_port_it_means(uri: str, port: str) -> None:
    parsed = parse_uri(uri)
    assert isinstance(parsed, WebSocketUri)
    assert f"no port, which means {port}" in parsed.hint


@pytest.mark.parametrize("name", ["max_payload", "max_in_flight"])
async def test_what_is_counted_is_a_whole_number(name: str) -> None:
    options: dict[str, Any] = {name: 2.5}
    with pytest.raises(InvalidArgumentError, match=f"{name} is a whole number"):
        await NdbClient.connect("ws://127.0.0.1:1/", **options)
