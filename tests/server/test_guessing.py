"""Guessing tokens: every token that no session has is counted, told of in the log, and limited where that is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from ndb_models import NdbClient
from ndb_models.engine import Engine
from ndb_models.errors import NdbError
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.opening import open_store
from tests.server.plain_client import GUARD, ask, plain, receive, send, write_at_once
from tests.server.raw_connection import HANDSHAKE, frame, raw
from tests.server.test_endpoints import metrics

OTHER = "127.0.0.2"
REASON = "too many tokens of sessions that do not exist"

GUESSES: list[tuple[str, dict[str, Any]]] = [
    ("SH_GET", {"keys": ["a"]}),
    ("SH_SET", {"keys": {"a": 1}}),
    ("SH_ADD", {"keys": {"a": 1}}),
    ("SH_RMV", {"keys": ["a"]}),
    ("SH_KEYS", {}),
    ("SH_COUNT", {}),
    ("SH_CONTAINS", {"keys": ["a"]}),
    ("SH_CLEAR", {}),
    ("SH_CLEAR_SET", {"keys": {"a": 1}}),
    ("SH_END", {}),
    ("SH_INFO", {}),
    ("SH_PEEK", {"keys": ["a"]}),
    ("SH_EXPIRE", {"expiry": {"duration": 60}}),
    ("SH_CHANGE", {"keys": {}}),
]


def a_token() -> int:
    return secrets.randbelow(2**64 - 1) + 1


@pytest.fixture(params=["memory", "sqlite"])
def store_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'sessions.db'}"


@contextlib.asynccontextmanager
async def serving(store_uri: str = "memory://", **options: Any) -> AsyncIterator[NdbServer]:
    store = await open_store(store_uri)
    async with asyncio.timeout(GUARD), NdbServer(Engine(store), ServerOptions(port=0, **options)) as server:
        yield server


async def guess(websocket: ClientConnection, command: str = "SH_GET", **body: Any) -> int:
    """Ask with a token that no session has; return the status."""
    answer = await ask(websocket, command, tkn=a_token(), **(body or {"keys": []}))
    status: int = answer["st"]
    return status


async def is_closed_for_guessing(websocket: ClientConnection) -> bool:
    with pytest.raises(ConnectionClosedError) as closed:
        await websocket.recv()
    assert closed.value.rcvd is not None
    return (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, REASON)


@pytest.mark.parametrize(("command", "body"), GUESSES, ids=[command for command, _ in GUESSES])
async def test_a_guess_by_any_command_is_counted_and_the_one_above_the_limit_closes_its_connection_alone(
    store_uri: str, command: str, body: dict[str, Any]
) -> None:
    async with serving(store_uri, miss_rate=0.2) as server, plain(server) as other, plain(server) as websocket:
        tkn = (await ask(other, "SH_NEW"))["tkn"]
        statuses = [(await ask(websocket, command, tkn=a_token(), **body))["st"] for _ in range(2)]
        assert statuses == [100, 100]
        await send(websocket, command, tkn=a_token(), **body)
        answer = (await receive(websocket))[f"{command}_RSP"]
        assert (answer["st"], answer["tkn"]) == (14, None)
        assert "sessions that do not exist" in answer["m"]
        assert await is_closed_for_guessing(websocket)
        assert (await ask(other, "SH_SET", tkn=tkn, keys={"a": 1}))["st"] == 1
        counted = await metrics(server)
    assert counted["ndb_misses_total"] == 3
    assert counted['ndb_connections_ended_total{reason="guessing"}'] == 1


async def test_tokens_that_sh_exists_does_not_find_are_counted_one_by_one(store_uri: str) -> None:
    async with serving(store_uri, miss_rate=1) as server, plain(server) as websocket:
        tkn = (await ask(websocket, "SH_NEW"))["tkn"]
        for _ in range(50):
            assert (await ask(websocket, "SH_EXISTS", tkns=[tkn, tkn, "none", None]))["exist"] == [tkn, tkn]
        answer = await ask(websocket, "SH_EXISTS", tkns=[tkn, *(a_token() for _ in range(10))])
        assert answer["exist"] == [tkn]
        assert (await metrics(server))["ndb_misses_total"] == 10
        answer = await ask(websocket, "SH_EXISTS", tkns=[tkn, a_token()])
        assert answer["st"] == 14
        assert "exist" not in answer
        assert await is_closed_for_guessing(websocket)


async def test_guesses_in_a_request_that_is_taken_apart_in_turns_are_counted_and_limited_too() -> None:
    async with serving(miss_rate=200) as server, plain(server) as websocket:
        guesses = [2**63 + a_token() // 2 for _ in range(2000)]
        assert (await ask(websocket, "SH_EXISTS", tkns=guesses))["exist"] == []
        assert (await metrics(server))["ndb_misses_total"] == 2000
        assert (await ask(websocket, "SH_EXISTS", tkns=guesses))["st"] == 14
        assert await is_closed_for_guessing(websocket)


async def test_guesses_that_come_with_the_handshake_are_limited_too() -> None:
    early = [frame(b'{"SH_GET":{"tkn":%d,"keys":[]}}' % a_token()) for _ in range(1000)]
    async with serving(miss_rate=0.2) as server, raw(server.port) as connection:
        await connection.send(HANDSHAKE + b"".join(early))
        await connection.reader.readuntil(b"\r\n\r\n")
        received = await connection.until_closed()
        statuses = [json.loads(payload)["SH_GET_RSP"]["st"] for _, payload in received.messages]
        assert received.code == 1008
        assert statuses[:3] == [100, 100, 14]
        assert set(statuses[3:]) <= {14}
        counted = await metrics(server)
    assert counted['ndb_connections_ended_total{reason="guessing"}'] == 1


async def test_a_list_of_guesses_longer_than_the_budget_tells_nothing() -> None:
    async with serving(miss_rate=1) as server, plain(server) as websocket:
        tkn = (await ask(websocket, "SH_NEW"))["tkn"]
        assert (await ask(websocket, "SH_EXISTS", tkns=[tkn, *(a_token() for _ in range(5000))]))["st"] == 14
        assert await is_closed_for_guessing(websocket)


async def test_guesses_that_come_together_are_answered_up_to_the_limit(store_uri: str) -> None:
    async with serving(store_uri, miss_rate=1) as server, plain(server) as websocket:
        write_at_once(websocket, *(json.dumps({"SH_GET": {"tkn": a_token(), "keys": []}}) for _ in range(30)))
        statuses: list[int] = []
        with contextlib.suppress(ConnectionClosedError):
            while True:
                statuses.append((await receive(websocket))["SH_GET_RSP"]["st"])
        assert statuses[:10] == [100] * 10
        assert statuses[10:]
        assert set(statuses[10:]) == {14}
        assert (await metrics(server))['ndb_connections_ended_total{reason="guessing"}'] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one address of their own alone")
async def test_an_address_has_one_budget_for_all_its_connections_and_others_have_theirs() -> None:
    async with serving(miss_rate_per_address=0.5) as server:
        for _ in range(5):
            async with plain(server) as websocket:
                assert await guess(websocket) == 100
        async with plain(server) as honest, plain(server) as websocket:
            assert await guess(websocket) == 14
            assert await is_closed_for_guessing(websocket)
            assert (await ask(honest, "SH_NEW"))["st"] == 1
        async with plain(server, local_addr=(OTHER, 0)) as websocket:
            assert await guess(websocket) == 100


async def test_without_a_limit_any_number_of_tokens_may_be_unknown() -> None:
    async with serving() as server, plain(server) as websocket:
        assert [await guess(websocket) for _ in range(200)] == [100] * 200
        assert (await metrics(server))["ndb_misses_total"] == 200


async def test_many_guesses_are_one_line_in_the_log_that_holds_no_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "ndb_models")
    tokens = [a_token() for _ in range(1500)]
    async with serving() as server, plain(server) as websocket:
        for start in range(0, len(tokens), 100):
            await ask(websocket, "SH_EXISTS", tkns=tokens[start : start + 100])
    (line,) = caplog.records
    assert "guesses" in line.getMessage()
    assert line.__dict__["fields"] == {"peer": "127.0.0.1", "tokens": 1000, "left_out": 0}


async def test_the_package_s_client_gets_errors_of_its_tree_and_connects_again() -> None:
    async with serving(miss_rate=0.2) as server, NdbClient.connect(server.uri) as client:
        for _ in range(2):
            assert await client.sh_session_exists([a_token()]) == []
        with pytest.raises(NdbError):
            await client.sh_session_exists([a_token()])
        assert await client.kv_count() == 0
