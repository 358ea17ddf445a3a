"""What the server does not take: frames too large, text that is not text, browsers, addresses that others can reach."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from ndb_models.engine import Engine
from ndb_models.errors import InvalidArgumentError
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.server.plain_client import GUARD, ask, plain, receive, write_at_once

MAX_PAYLOAD = 8192  # as the fixture has it


def request_of(size: int) -> str:
    """Return a request of so many bytes that sets a key named "a"."""
    empty = json.dumps({"KV_SET": {"keys": {"a": ""}}})
    return json.dumps({"KV_SET": {"keys": {"a": "x" * (size - len(empty))}}})


async def code_of_closing(websocket: ClientConnection) -> int:
    """Wait until the server closes; return its code."""
    await websocket.wait_closed()
    assert websocket.close_code is not None
    return websocket.close_code


async def test_a_request_of_the_largest_size_is_answered(server: NdbServer) -> None:
    async with asyncio.timeout(GUARD), plain(server) as websocket:
        await websocket.send(request_of(MAX_PAYLOAD))
        assert await receive(websocket) == {"KV_SET_RSP": {"st": 1}}


@pytest.mark.parametrize("size", [MAX_PAYLOAD + 1, 50 * MAX_PAYLOAD])
async def test_a_request_over_the_maximum_closes_its_connection_alone(server: NdbServer, size: int) -> None:
    async with asyncio.timeout(GUARD), plain(server) as other, plain(server) as websocket:
        await websocket.send(request_of(size))
        assert await code_of_closing(websocket) == 1009
        assert (await ask(other, "KV_COUNT"))["cnt"] == 0


async def test_fragments_that_are_together_over_the_maximum_close_the_connection(server: NdbServer) -> None:
    request = request_of(MAX_PAYLOAD + 1)
    async with asyncio.timeout(GUARD), plain(server) as other, plain(server) as websocket:
        await websocket.send([request[:4000], request[4000:8000], request[8000:]])
        assert await code_of_closing(websocket) == 1009
        assert (await ask(other, "KV_COUNT"))["cnt"] == 0


@pytest.mark.parametrize("text", [b'{"KV_COUNT": {"\xff": 1}}', b"\xc3", b'{"KV_COUNT": {"\xed\xa0\x80": 1}}'])
async def test_text_that_is_not_utf8_closes_its_connection_alone(server: NdbServer, text: bytes) -> None:
    async with asyncio.timeout(GUARD), plain(server) as other, plain(server) as websocket:
        await websocket.send(text, text=True)
        assert await code_of_closing(websocket) == 1007
        assert (await ask(other, "KV_COUNT"))["cnt"] == 0


async def test_what_follows_text_that_is_not_utf8_is_not_carried_out(server: NdbServer) -> None:
    async with asyncio.timeout(GUARD), plain(server) as other, plain(server) as websocket:
        websocket.protocol.send_text(b"\xff")
        write_at_once(websocket, '{"KV_SET": {"keys": {"a": 1}}}', close=True)
        await websocket.wait_closed()
        assert (await ask(other, "KV_COUNT"))["cnt"] == 0


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1", "null"])
async def test_a_handshake_with_an_origin_is_forbidden(server: NdbServer, origin: str) -> None:
    async with asyncio.timeout(GUARD):
        with pytest.raises(InvalidStatus) as refused:
            async with plain(server, origin=origin):
                pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "request_text",
    [
        '{"KV_SET": {"keys": {"a": NaN}}}',
        '{"KV_SET": {"keys": {"a": Infinity}}}',
        '{"KV_SET": {"keys": {"a": 1e999}}}',
        '{"KV_SET": {"keys": {"a": "\\ud800"}}}',
        '{"KV_SET": {"keys": {"a": ' + "[" * 4000 + "]" * 4000 + "}}}",
        "[" * 8000,
        '{"KV_SET": {"keys": {"a": 1}}} {}',
        "",
        "\x00",
    ],
    ids=range(9),
)
async def test_what_cannot_be_kept_exactly_is_refused_and_the_connection_goes_on(
    server: NdbServer, request_text: str
) -> None:
    async with asyncio.timeout(GUARD), plain(server) as websocket:
        await websocket.send(request_text)
        assert (await receive(websocket))["ERR"]["st"] == 3
        assert (await ask(websocket, "KV_COUNT"))["cnt"] == 0


# "127.1" is loopback to the system, but not by its looks: the server cannot know, so it must be told.
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.invalid", "", "127.1"])
async def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    server = NdbServer(Engine(MemoryStore()), ServerOptions(host=host, port=0))
    with pytest.raises(InvalidArgumentError, match="insecure"):
        await server.start()
    await server.stop()


@pytest.mark.parametrize(("host", "insecure"), [("127.0.0.1", False), ("localhost", False), ("127.1", True)])
async def test_loopback_and_what_is_meant_is_listened_on(host: str, insecure: bool) -> None:
    options = ServerOptions(host=host, port=0, insecure=insecure)
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), options) as server, plain(server) as websocket:
        assert (await ask(websocket, "KV_COUNT"))["cnt"] == 0
