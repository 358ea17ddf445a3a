"""Clients that know nothing of this package: one at a time, several at once, pipelined, in fragments."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ndb_models.server import NdbServer
from tests.server.plain_client import GUARD, ask, plain, receive, send, write_at_once


@pytest.fixture
async def websocket(server: NdbServer) -> AsyncIterator[ClientConnection]:
    async with asyncio.timeout(GUARD), plain(server) as websocket:
        yield websocket


async def test_one_request_at_a_time(websocket: ClientConnection) -> None:
    assert await ask(websocket, "KV_SET", keys={"username": "billy", "ages": [1, 2.5, None]}) == {"st": 1}
    assert await ask(websocket, "KV_GET", keys=["username", "ages"]) == {
        "keys": {"username": "billy", "ages": [1, 2.5, None]},
        "st": 1,
    }
    session = await ask(websocket, "SH_NEW", expiry={"duration": 60, "deleteSession": True})
    assert (await ask(websocket, "SH_SET", tkn=session["tkn"], keys={"ä": "🎈"}))["st"] == 1
    assert (await ask(websocket, "SH_GET", tkn=session["tkn"], keys=["ä"]))["keys"] == {"ä": "🎈"}


async def test_several_connections_at_once_each_get_their_own(server: NdbServer) -> None:
    async def one_client(number: int) -> None:
        async with plain(server) as websocket:
            tkn = (await ask(websocket, "SH_NEW"))["tkn"]
            for turn in range(20):
                keys = {"number": number, "turn": turn}
                await ask(websocket, "SH_SET", tkn=tkn, keys=keys)
                assert (await ask(websocket, "SH_GET", tkn=tkn, keys=["number", "turn"]))["keys"] == keys

    async with asyncio.timeout(GUARD), asyncio.TaskGroup() as group:
        for number in range(16):
            group.create_task(one_client(number))


async def test_connections_share_the_keys(server: NdbServer) -> None:
    async with asyncio.timeout(GUARD), plain(server) as first, plain(server) as second:
        await ask(first, "KV_SET", keys={"a": 1})
        assert (await ask(second, "KV_GET", keys=["a"]))["keys"] == {"a": 1}


async def test_pipelined_requests_are_answered_in_their_order(websocket: ClientConnection) -> None:
    for number in range(200):
        await send(websocket, "KV_SET", keys={f"key{number}": number})
        await send(websocket, "KV_GET", keys=[f"key{number}"])
    for number in range(200):
        assert await receive(websocket) == {"KV_SET_RSP": {"st": 1}}
        assert await receive(websocket) == {"KV_GET_RSP": {"keys": {f"key{number}": number}, "st": 1}}


async def test_refusals_among_pipelined_requests_keep_their_places(websocket: ClientConnection) -> None:
    write_at_once(websocket, '{"KV_COUNT": {}}', "no JSON", '{"KV_NONE": {}}', '{"KV_GET": {}}', '{"KV_KEYS": {}}')
    answers = [await receive(websocket) for _ in range(5)]
    assert [(name, body["st"]) for answer in answers for name, body in answer.items()] == [
        ("KV_COUNT_RSP", 1),
        ("ERR", 3),
        ("ERR", 10),
        ("KV_GET_RSP", 26),
        ("KV_KEYS_RSP", 1),
    ]


async def test_requests_of_one_write_followed_by_a_close_are_carried_out(server: NdbServer) -> None:
    async with asyncio.timeout(GUARD), plain(server) as hasty:
        write_at_once(hasty, '{"KV_SET": {"keys": {"a": 1}}}', '{"KV_SET": {"keys": {"b": 2}}}', close=True)
        await hasty.wait_closed()
    async with asyncio.timeout(GUARD), plain(server) as other:
        assert (await ask(other, "KV_GET", keys=["a", "b"]))["keys"] == {"a": 1, "b": 2}


async def test_a_client_that_leaves_with_answers_unread_disturbs_nobody(server: NdbServer) -> None:
    async with asyncio.timeout(GUARD), plain(server) as staying:
        await ask(staying, "KV_SET", keys={"a": "x" * 4000})
        async with plain(server) as leaving:
            for _ in range(100):
                await send(leaving, "KV_GET", keys=["a"])
            leaving.transport.abort()
        assert (await ask(staying, "KV_COUNT"))["cnt"] == 1


async def test_a_fragmented_request_is_put_together(websocket: ClientConnection) -> None:
    request = json.dumps({"KV_SET": {"keys": {"ä": "🎈" * 20}}}, ensure_ascii=False).encode()
    websocket.protocol.send_text(request[:1], fin=False)
    # Five bytes at a time: every character of four bytes is cut somewhere.
    for start in range(1, len(request), 5):
        websocket.protocol.send_continuation(request[start : start + 5], fin=False)
        websocket.protocol.send_ping(b"in between")
        websocket.transport.write(b"".join(websocket.protocol.data_to_send()))
    websocket.protocol.send_continuation(b"", fin=True)
    websocket.transport.write(b"".join(websocket.protocol.data_to_send()))
    assert await receive(websocket) == {"KV_SET_RSP": {"st": 1}}
    assert (await ask(websocket, "KV_GET", keys=["ä"]))["keys"] == {"ä": "🎈" * 20}


async def test_a_binary_request_is_refused_and_the_connection_goes_on(websocket: ClientConnection) -> None:
    await websocket.send(b'{"KV_SET": {"keys": {"a": 1}}}')
    assert (await receive(websocket))["ERR"]["st"] == 2
    await websocket.send([b'{"KV_SET": ', b'{"keys": {"a": 1}}}'])
    assert (await receive(websocket))["ERR"]["st"] == 2
    assert (await ask(websocket, "KV_COUNT"))["cnt"] == 0


async def test_a_ping_is_answered_between_requests(websocket: ClientConnection) -> None:
    await send(websocket, "KV_COUNT")
    pong = await websocket.ping("are you there")
    await pong
    assert (await receive(websocket))["KV_COUNT_RSP"]["cnt"] == 0


async def test_the_servers_close_answers_the_clients(server: NdbServer) -> None:
    async with asyncio.timeout(GUARD), plain(server) as websocket:
        await websocket.close(1000)
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000
