"""The table of commands and the engine agree: each row is carried out, and its parameters are checked as it says."""

from __future__ import annotations

from typing import Any

import pytest

from ndb_models.protocol.commands import COMMANDS, Command, Param, ParamType
from tests.engine.asking import Asker


@pytest.fixture
def ask(ask_any: Asker) -> Asker:
    """On every store."""
    return ask_any


RIGHT: dict[ParamType, Any] = {
    ParamType.ANY: 1,
    ParamType.STRING: "$",
    ParamType.BOOL: True,
    ParamType.UINT: 60,
    ParamType.ARRAY: ["a"],
    ParamType.OBJECT: {"a": [1]},
}
WRONG: dict[ParamType, list[Any]] = {
    ParamType.ANY: [],
    ParamType.STRING: [None, True, 0, 1.5, [], {}],
    ParamType.BOOL: [None, 0, 1, "true", [], {}],
    ParamType.UINT: [None, True, -1, 1.0, 1.5, "1", [], {}, 2**64],
    ParamType.ARRAY: [None, False, 0, "", {}],
    ParamType.OBJECT: [None, False, 0, "", []],
}
# Where a parameter takes less than its type.
RIGHT_FOR = {"rsp": "keys", "tkns": [1], "name": "data_set", "key": "a"}

ROWS = list(COMMANDS.values())
PARAMS = [(command, param) for command in ROWS for param in command.params]
INNER = [(command, param, inner) for command, param in PARAMS for inner in param.inner]


def right(param: Param) -> Any:
    if param.inner:
        return {inner.name: right(inner) for inner in param.inner}
    return RIGHT_FOR.get(param.name, RIGHT[param.kind])


async def right_body(ask: Asker, command: Command) -> dict[str, Any]:
    """Return parameters that the command takes."""
    body = {param.name: right(param) for param in command.params}
    if command.name == "KV_ARR_APPEND":
        del body["name"]
    if command.name == "SH_EXPIRE":
        body["keys"] = {"a": [1, 2]}
    if command.name == "SH_CHANGE":
        body["digests"], body["texts"] = {"a": "0" * 32}, {"a": "1"}
    if command.of_session:
        body["tkn"] = await ask.new() if command.name != "SH_NEW_SET" else 7
    return body


def named(value: object) -> str:
    return value.name if isinstance(value, Command | Param) else repr(value)


def test_every_type_of_parameter_has_right_and_wrong_values() -> None:
    assert set(RIGHT) == set(WRONG) == set(ParamType)


@pytest.mark.parametrize("command", ROWS, ids=named)
async def test_every_command_is_carried_out(ask: Asker, command: Command) -> None:
    await ask("KV_SET", keys={"a": [1]})
    if command.name.endswith("_LOAD"):
        await ask(command.name.replace("LOAD", "SAVE"), name="data_set")
    assert await ask.status(command.name, **await right_body(ask, command)) == command.success


@pytest.mark.parametrize(("command", "param"), [(row, param) for row, param in PARAMS if param.required], ids=named)
async def test_a_required_parameter_that_is_missing_is_asked_for(ask: Asker, command: Command, param: Param) -> None:
    body = await right_body(ask, command)
    del body[param.name]
    answer = await ask(command.name, **body)
    assert (answer["st"], answer["tkn"]) == (26, None)
    assert param.name in answer["m"]


@pytest.mark.parametrize(("command", "param"), [(row, param) for row, param in PARAMS if not param.required], ids=named)
async def test_an_optional_parameter_may_be_missing(ask: Asker, command: Command, param: Param) -> None:
    await ask("KV_SET", keys={"a": [1]})
    body = await right_body(ask, command)
    body.pop(param.name, None)
    assert await ask.status(command.name, **body) == command.success


@pytest.mark.parametrize(("command", "param"), [(row, param) for row, param in PARAMS if WRONG[param.kind]], ids=named)
async def test_a_parameter_of_the_wrong_type_is_refused_and_changes_nothing(
    ask: Asker, command: Command, param: Param
) -> None:
    await ask("KV_SET", keys={"a": [1]})
    body = await right_body(ask, command)
    before = await ask("SH_INFO_ALL")
    for value in WRONG[param.kind]:
        answer = await ask(command.name, **{**body, param.name: value})
        assert (answer["st"], answer["tkn"]) == (41, None), value
        assert param.name in answer["m"], value
        assert await ask.shared() == {"a": [1]}, value
        assert await ask("SH_INFO_ALL") == before, value


@pytest.mark.parametrize(("command", "param", "inner"), INNER, ids=named)
async def test_the_parameters_inside_a_parameter_are_checked_too(
    ask: Asker, command: Command, param: Param, inner: Param
) -> None:
    body = await right_body(ask, command)
    without = {name: value for name, value in body[param.name].items() if name != inner.name}
    expected = 26 if inner.required else command.success
    assert await ask.status(command.name, **{**body, param.name: without}) == expected
    for value in WRONG[inner.kind]:
        wrong = {**body[param.name], inner.name: value}
        assert await ask.status(command.name, **{**body, param.name: wrong}) == 41


@pytest.mark.parametrize("command", [row for row in ROWS if row.of_session], ids=named)
async def test_a_token_that_names_no_session_is_refused(ask: Asker, command: Command) -> None:
    body = await right_body(ask, command)
    tokens: list[Any] = [None, True, -1, 1.5, 2**64, "5", "", [], {}, 12345]
    for token in tokens:
        created = command.name == "SH_NEW_SET" and token == 12345
        assert await ask.status(command.name, **{**body, "tkn": token}) == (1 if created else 100), token


@pytest.mark.parametrize("command", [row for row in ROWS if row.of_session and row.name != "SH_INFO"], ids=named)
async def test_a_command_on_a_session_without_a_token_is_refused(ask: Asker, command: Command) -> None:
    body = await right_body(ask, command)
    del body["tkn"]
    assert await ask.status(command.name, **body) == 100


async def test_removing_no_keys_is_refused(ask: Asker) -> None:
    assert await ask.status("KV_RMV", keys=[]) == 42
    assert await ask.status("SH_RMV", keys=[], tkn=await ask.new()) == 42


@pytest.mark.parametrize("name", ["SET", "ADD"])
async def test_writing_no_keys_succeeds_and_changes_nothing(ask: Asker, name: str) -> None:
    token = await ask.new()
    for _ in range(2):  # of an empty map, and of one with keys
        shared, own = await ask.shared(), await ask("SH_COUNT", tkn=token)
        assert await ask(f"KV_{name}", keys={}) == await ask(f"SH_{name}", keys={}, tkn=token) == {"st": 1}
        assert (await ask.shared(), await ask("SH_COUNT", tkn=token)) == (shared, own)
        await ask("KV_SET", keys={"a": 1})
        await ask("SH_SET", keys={"a": 1}, tkn=token)
    assert (await ask("SH_GET", keys=["a"], tkn=token))["keys"] == {"a": 1}


@pytest.mark.parametrize("name", ["SH_SET", "SH_ADD"])
async def test_writing_no_keys_to_an_unknown_session_is_refused(ask: Asker, name: str) -> None:
    assert await ask.status(name, keys={}, tkn=12345) == 100


@pytest.mark.parametrize(("params", "status"), [({"tkns": []}, 42), ({"tkns": ["5"]}, 41), ({"tkns": [1, -1]}, 41)])
async def test_saving_sessions_checks_every_token(ask: Asker, params: dict[str, Any], status: int) -> None:
    assert await ask.status("SH_SAVE", name="data_set", **params) == status


async def test_entries_of_keys_and_tkns_that_cannot_be_any_are_passed_over(ask: Asker) -> None:
    await ask("KV_SET", keys={"a": 1, "b": 2})
    token = await ask.new()
    odd = [5, None, True, ["a"], {"a": 1}]
    assert await ask("KV_GET", keys=[*odd, "a"]) == {"keys": {"a": 1}, "st": 1}
    assert await ask("KV_CONTAINS", keys=["a", *odd]) == {"contains": ["a"], "st": 1}
    assert await ask("SH_EXISTS", tkns=[*odd, -1, 1.5, token]) == {"exist": [token], "st": 1}
    assert await ask("KV_RMV", keys=[*odd, "a"]) == {"st": 1}
    assert await ask.shared() == {"b": 2}


async def test_session_info_takes_a_token_alone(ask: Asker) -> None:
    assert await ask.status("SH_INFO", tkn=await ask.new(), keys=[]) == 13


async def test_tokens_are_not_given_out_twice(ask: Asker) -> None:
    tokens = {await ask.new() for _ in range(200)}
    assert len(tokens) == 200
    assert all(0 < token < 2**64 for token in tokens)
    # 64 random bits: a token of fewer than 48 comes once in 65,536.
    assert sum(token.bit_length() > 48 for token in tokens) > 190


class TestCreatingASessionWithItsKeys:
    """`SH_NEW_SET` is this engine's own; a NemesisDB answers that it does not know it."""

    async def test_the_session_is_there_whole(self, ask: Asker) -> None:
        expiry = {"duration": 60, "deleteSession": True, "extendOnGet": True}
        assert await ask("SH_NEW_SET", tkn=7, expiry=expiry, keys={"a": 1, "b": [2]}) == {"st": 1}
        assert (await ask("SH_GET", tkn=7, keys=["b", "a"]))["keys"] == {"b": [2], "a": 1}
        info = await ask("SH_INFO", tkn=7)
        assert (info["keyCnt"], info["expires"]) == (2, True)
        assert info["expiry"].items() >= {**expiry, "extendOnSetAdd": False}.items()

    async def test_a_session_that_exists_is_left_alone(self, ask: Asker) -> None:
        tkn = await ask.new()
        await ask("SH_SET", tkn=tkn, keys={"a": 1})
        assert await ask.status("SH_NEW_SET", tkn=tkn, expiry={"duration": 60}, keys={"a": 2}) == 103
        assert (await ask("SH_GET", tkn=tkn, keys=["a"]))["keys"] == {"a": 1}
        assert not (await ask("SH_INFO", tkn=tkn))["expires"]

    async def test_what_is_refused_creates_nothing(self, ask: Asker) -> None:
        assert await ask.status("SH_NEW_SET", tkn=7, expiry={}, keys={"a": 1}) == 26
        assert await ask.status("SH_NEW_SET", tkn=7, keys=[]) == 41
        assert (await ask("SH_INFO_ALL"))["totalSessions"] == 0
