"""No error and no log holds a value, a password, or more of a token than its last four digits."""

from __future__ import annotations

import asyncio
import logging
import secrets
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ndb_models.client import NdbClient, NdbError, Session
from ndb_models.errors import ConnectionLostError, RequestTimeoutError
from ndb_models.server import NdbServer
from tests.client.scripted_server import answer_nothing, answering, scripted

pytestmark = pytest.mark.usefixtures("restored_logger")

VALUE = f"value-{secrets.token_hex()}"
TOKEN = 2**63 + secrets.randbits(62)
NO_JSON: Any = {1: VALUE}
PASSWORD = f"password-{secrets.token_hex()}"


def require_silence(text: str) -> None:
    for canary in (VALUE, str(TOKEN), PASSWORD):
        assert canary not in text


def require_silent_error(error: BaseException) -> None:
    """Look at an error as a log would show it, with its causes."""
    assert isinstance(error, NdbError)
    require_silence("".join(traceback.format_exception(error)) + repr(error))


Call = Callable[[NdbClient], Awaitable[object]]

REFUSED_CALLS: list[Call] = [
    lambda client: client.sh_get((VALUE,), TOKEN),
    lambda client: client.sh_set({"a": VALUE}, TOKEN),
    lambda client: client.sh_clear_set({"a": {"b": [VALUE]}}, TOKEN),
    lambda client: client.sh_end(TOKEN),
    lambda client: client.sh_info(TOKEN),
    lambda client: client.kv_set({"a": [VALUE, b"bytes"]}),
    lambda client: client.kv_set({"a": [VALUE, VALUE + "\ud800"]}),
    lambda client: client.kv_set({"a": NO_JSON}),
    lambda client: client.kv_set({"a": VALUE.encode()}),
    lambda client: client.kv_update("missing", "$", VALUE),
    lambda client: client.kv_arr_append("missing", [VALUE]),
    lambda client: client.kv_find(f"$[?@ == '{VALUE}'"),
]


@pytest.mark.parametrize("number", range(len(REFUSED_CALLS)))
async def test_a_refused_call_shows_no_value_and_no_token(client: NdbClient, number: int) -> None:
    with pytest.raises(NdbError) as refused:
        await REFUSED_CALLS[number](client)
    require_silent_error(refused.value)


FAILING_ANSWERS = [
    VALUE,
    f'{{"SH_ADD_RSP":"{VALUE}"}}',
    f'{{"SH_ADD_RSP":{{"st":"{VALUE}"}}}}',
    f'{{"SH_GET_RSP":{{"st":1,"tkn":{TOKEN},"keys":{{"a":"{VALUE}"}}}}}}',
    f'{{"SH_ADD_RSP":{{"st":100,"m":"","tkn":{TOKEN}}}}}',
]


@pytest.mark.parametrize("text", FAILING_ANSWERS, ids=range(len(FAILING_ANSWERS)))
async def test_an_answer_that_is_none_is_not_shown(text: str) -> None:
    async with scripted(answering(text)) as uri, asyncio.timeout(30), NdbClient.connect(uri) as client:
        with pytest.raises(NdbError) as failed:
            await client.sh_add({"a": VALUE}, TOKEN)
    require_silent_error(failed.value)


async def test_what_was_not_answered_is_not_shown() -> None:
    async with (
        scripted(answer_nothing) as uri,
        asyncio.timeout(30),
        NdbClient.connect(uri, request_timeout=0.05) as client,
    ):
        with pytest.raises((RequestTimeoutError, ConnectionLostError)) as overdue:
            await client.sh_add({"a": VALUE}, TOKEN)
    require_silent_error(overdue.value)


def test_a_session_does_not_show_its_token() -> None:
    require_silence(f"{Session(TOKEN)} {Session(TOKEN)!r} {[Session(TOKEN)]}")


async def use(uri: str, *, debug: bool) -> None:
    """Do what leaves traces: succeed, be refused, and be refused before sending."""
    async with NdbClient.connect(uri, debug=debug, headers={"Authorization": PASSWORD}) as client:
        tkn = (await client.sh_create_session()).tkn
        assert await client.sh_set({"a": VALUE}, tkn)
        await asyncio.gather(*(client.sh_get(("a",), tkn) for _ in range(3)))
        for call in REFUSED_CALLS:
            with pytest.raises(NdbError):
                await call(client)


@pytest.mark.parametrize("way", ["memory", "server"])
async def test_debug_output_tells_commands_and_nothing_of_what_they_hold(
    way: str, server: NdbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await use(server.uri if way == "server" else "memory://", debug=True)
    output = capsys.readouterr()
    assert "SH_SET" in output.err
    assert output.out == ""
    require_silence(output.err)


async def test_without_debug_nothing_is_written(server: NdbServer, capsys: pytest.CaptureFixture[str]) -> None:
    await use(server.uri, debug=False)
    assert capsys.readouterr() == ("", "")


async def test_debug_output_comes_once_however_many_clients_ask_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        async with NdbClient.connect("memory://", debug=True) as client:
            await client.kv_count()
    assert capsys.readouterr().err.count("KV_COUNT") == 3


async def test_an_application_that_logs_everything_logs_no_value_and_no_token(
    server: NdbServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await use(server.uri, debug=True)
    assert caplog.records
    for record in caplog.records:
        require_silence(record.getMessage())
    # The session's own token is a canary too, but nobody knows it here: no number in the log is long enough to be one.
    numbers = "".join(c if c.isdigit() else " " for c in caplog.text).split()
    assert max(map(len, numbers)) < 15
