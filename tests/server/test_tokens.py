"""Servers that ask for a token: who gets in, and what a role allows."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from ndb_models import ConnectError, InvalidArgumentError, NdbClient, ResponseError
from ndb_models.engine import Engine
from ndb_models.protocol.commands import COMMANDS
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.server.tokens import read_tokens
from ndb_models.stores.memory import MemoryStore
from tests.server.plain_client import GUARD, ask, plain

DATA = secrets.token_urlsafe(32)
ADMIN = secrets.token_urlsafe(32)

FOR_ADMINS = {"SH_END_ALL", "KV_CLEAR", "KV_CLEAR_SET", "KV_SAVE", "KV_LOAD", "SH_SAVE", "SH_LOAD", "SH_LIST"}
BODIES: dict[str, dict[str, object]] = {
    "KV_CLEAR_SET": {"keys": {"b": 2}},
    "SH_END_ALL": {},
    "KV_CLEAR": {},
    "SH_LIST": {"key": "a", "count": 10},
}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[NdbServer]:
    """A server that takes two tokens, and has a key and a session."""
    tokens = Tokens([(Role.DATA, DATA), (Role.ADMIN, ADMIN)])
    engine = Engine(MemoryStore(), persist_path=tmp_path)
    async with NdbServer(engine, ServerOptions(port=0, tokens=tokens)) as server:
        async with NdbClient.connect(server.uri, token=DATA) as client:
            await client.kv_set({"a": 1})
            await client.sh_create_session()
        yield server


async def refusal(server: NdbServer, *authorization: str) -> Response:
    """Connect with these `Authorization` headers; return the answer that refuses it."""
    headers = Headers([("Authorization", value) for value in authorization])
    async with asyncio.timeout(GUARD):
        with pytest.raises(InvalidStatus) as refused:
            async with plain(server, additional_headers=headers):
                pass
    return refused.value.response


async def test_without_a_token_the_server_asks_for_one(guarded: NdbServer) -> None:
    response = await refusal(guarded)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="ndb_models"'


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {secrets.token_urlsafe(32)}",
        f"Bearer {DATA[:-1]}",
        f"Bearer {DATA}x",
        f"Bearer {DATA.swapcase()}",
        f"Basic {DATA}",
        "Bearer",
        "Bearer ",
        DATA,
        "",
    ],
    ids=range(9),
)
async def test_a_wrong_token_is_refused_as_invalid(guarded: NdbServer, authorization: str) -> None:
    response = await refusal(guarded, authorization)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="ndb_models", error="invalid_token"'
    assert response.body is not None
    assert DATA[:-1] not in bytes(response.body).decode()


async def test_two_tokens_at_once_are_none(guarded: NdbServer) -> None:
    assert (await refusal(guarded, f"Bearer {DATA}", f"Bearer {ADMIN}")).status_code == 401


async def test_the_scheme_may_be_written_as_one_likes(guarded: NdbServer) -> None:
    async with plain(guarded, additional_headers={"Authorization": f"bEARER {DATA}"}) as websocket:
        assert (await ask(websocket, "KV_COUNT"))["cnt"] == 1


def test_the_commands_for_admins_are_those_that_undo_what_others_stored_or_show_tokens() -> None:
    assert {command.name for command in COMMANDS.values() if command.for_admins} == FOR_ADMINS


@pytest.mark.parametrize("command", sorted(FOR_ADMINS))
async def test_a_token_for_data_may_not_use_a_command_for_admins(guarded: NdbServer, command: str) -> None:
    body = BODIES.get(command, {"name": "data_set"})
    async with plain(guarded, additional_headers={"Authorization": f"Bearer {DATA}"}) as websocket:
        answer = await ask(websocket, command, **body)
        assert answer["st"] == 14
        assert answer["m"] == "this command is for admins"
        assert (await ask(websocket, "KV_GET", keys=["a"]))["keys"] == {"a": 1}
        assert (await ask(websocket, "SH_INFO_ALL"))["totalSessions"] == 1


async def test_an_admin_may_use_every_command(guarded: NdbServer) -> None:
    async with NdbClient.connect(guarded.uri, token=ADMIN) as client:
        assert await client.kv_save("keys")
        assert await client.sh_save("sessions")
        assert await client.kv_clear() == 1
        assert await client.sh_end_all() == 1
        assert await client.kv_load("keys")
        assert await client.sh_load("sessions")
        assert await client.kv_clear_set({"b": 2}) == 1


async def test_a_session_s_own_keys_may_be_cleared_with_a_token_for_data(guarded: NdbServer) -> None:
    async with NdbClient.connect(guarded.uri, token=DATA) as client:
        session = await client.sh_create_session()
        await client.sh_set({"a": 1}, session.tkn)
        assert await client.sh_clear(session.tkn) == 1


async def test_without_tokens_everyone_may_do_everything(server: NdbServer) -> None:
    async with NdbClient.connect(server.uri) as client:
        assert await client.sh_end_all() == 0
        assert await client.kv_save("keys")


class TestTheClient:
    async def test_says_what_to_do_where_a_token_is_needed(self, guarded: NdbServer) -> None:
        with pytest.raises(ConnectError, match=r"401; it takes no client without a token: token=\.\.\."):
            await NdbClient.connect(guarded.uri)

    async def test_says_that_its_token_is_not_taken_and_does_not_show_it(self, guarded: NdbServer) -> None:
        wrong = secrets.token_urlsafe(32)
        with pytest.raises(ConnectError, match="401; it takes no token like this one") as refused:
            await NdbClient.connect(guarded.uri, token=wrong)
        assert wrong not in str(refused.value)

    async def test_is_told_what_is_for_admins(self, guarded: NdbServer) -> None:
        async with NdbClient.connect(guarded.uri, token=DATA) as client:
            with pytest.raises(ResponseError, match="for admins") as refused:
                await client.sh_end_all()
            assert refused.value.status == 14
            assert DATA not in repr(client)

    @pytest.mark.parametrize("token", ["", "can ary", "canary\n", "canärycanary"])
    def test_takes_no_token_that_is_none(self, token: str) -> None:
        with pytest.raises(InvalidArgumentError, match="token") as refused:
            NdbClient.connect("ws://127.0.0.1:1/", token=token)
        assert "can" not in str(refused.value)

    def test_takes_a_token_or_a_header_and_not_both(self) -> None:
        with pytest.raises(InvalidArgumentError, match="not both"):
            NdbClient.connect("ws://127.0.0.1:1/", token=DATA, headers={"authorization": f"Bearer {ADMIN}"})


class TestTokens:
    def test_know_the_role_of_each(self) -> None:
        tokens = Tokens([(Role.DATA, DATA), (Role.ADMIN, ADMIN), (Role.DATA, DATA)])
        granted = [tokens.grant_of(f"Bearer {token}") for token in (DATA, ADMIN, "\udcff")]
        assert [grant and grant.role for grant in granted] == [Role.DATA, Role.ADMIN, None]
        assert len(tokens) == 2

    def test_hold_none_of_them(self) -> None:
        tokens = Tokens([(Role.DATA, DATA)])
        assert DATA not in repr(tokens)
        assert DATA not in repr(ServerOptions(tokens=tokens))

    @pytest.mark.parametrize("token", ["", "short", "x" * 19, "canary " * 10, "canä" * 10])
    def test_are_long_and_plain(self, token: str) -> None:
        with pytest.raises(InvalidArgumentError, match="secrets") as refused:
            Tokens([(Role.DATA, token)])
        assert "can" not in str(refused.value)

    def test_have_one_role_each(self) -> None:
        with pytest.raises(InvalidArgumentError, match="two roles") as refused:
            Tokens([(Role.DATA, DATA), (Role.ADMIN, DATA)])
        assert DATA not in str(refused.value)


class TestAFileOfTokens:
    def test_has_a_line_for_each(self, tmp_path: Path) -> None:
        path = tmp_path / "tokens"
        path.write_text(f"# of the shop\n\n data:{DATA}\nadmin: {ADMIN} \n")
        assert read_tokens(path) == [(Role.DATA, DATA), (Role.ADMIN, ADMIN)]

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            ("canary-canary-canary-canary", "line 1: a line is data:TOKEN or admin:TOKEN"),
            ("\nroot:canary-canary-canary-canary", "line 2: a line is"),
            ("data:canary", "line 1: a token has 20 characters at least"),
            ("data:", "line 1: a token holds letters"),
            ("# nothing", "holds no token"),
            ("", "holds no token"),
        ],
    )
    def test_that_is_none_is_refused_by_line_and_not_shown(self, tmp_path: Path, content: str, complaint: str) -> None:
        path = tmp_path / "tokens"
        path.write_text(content)
        with pytest.raises(InvalidArgumentError, match=complaint) as refused:
            read_tokens(path)
        assert "canary" not in str(refused.value)

    def test_that_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        for name, complaint in (("missing", "No such file"), ("binary", "not UTF-8")):
            with pytest.raises(InvalidArgumentError, match=complaint):
                read_tokens(tmp_path / name)


async def test_a_handshake_that_fails_otherwise_leaves_no_client_behind(guarded: NdbServer) -> None:
    """A token is right, and what follows is no WebSocket: nothing is counted as connected."""
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    writer.write(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {DATA}\r\n\r\n".encode())
    assert b"426" in await reader.readline()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    async with NdbClient.connect(guarded.uri, token=DATA) as client:
        assert await client.kv_count() == 1
