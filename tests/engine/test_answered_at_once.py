"""What need not wait is answered in the call: behind the server, anything else is a turn of the loop later."""

from __future__ import annotations

import json

import pytest

from ndb_models.engine import Engine
from ndb_models.engine.handlers import ACTIONS
from ndb_models.protocol.commands import COMMANDS
from ndb_models.stores.memory import MemoryStore

ON_A_MAP: dict[str, dict[str, object]] = {
    "SET": {"keys": {"a": 1}},
    "ADD": {"keys": {"b": 1}},
    "GET": {"keys": ["a"]},
    "RMV": {"keys": ["a"]},
    "CLEAR": {},
    "CLEAR_SET": {"keys": {"a": 1}},
    "COUNT": {},
    "CONTAINS": {"keys": ["a"]},
    "KEYS": {},
}
REQUESTS: dict[str, dict[str, object]] = {
    **{f"KV_{verb}": body for verb, body in ON_A_MAP.items()},
    **{f"SH_{verb}": {"tkn": 5, **body} for verb, body in ON_A_MAP.items()},
    "KV_FIND": {"path": "$", "rsp": "keys"},
    "KV_UPDATE": {"key": "shared", "path": "$.x", "value": 2},
    "KV_ARR_APPEND": {"key": "array", "items": [1]},
    "SV_INFO": {},
    "SH_EXISTS": {"tkns": [5, 6]},
    "SH_INFO_ALL": {},
    "SH_NEW": {},
    "SH_NEW_SET": {"tkn": 7, "keys": {"a": 1}},
    "SH_INFO": {"tkn": 5},
    "SH_END": {"tkn": 5},
    "SH_PEEK": {"tkn": 5, "keys": ["a"]},
    "SH_EXPIRE": {"tkn": 5, "expiry": {"duration": 5}},
    "SH_CHANGE": {"tkn": 5, "keys": {"a": 2}, "texts": {"a": "1"}},
}


@pytest.mark.parametrize("command", REQUESTS)
async def test_a_store_in_memory_is_answered_from_in_the_call(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ndb_models.turns.TURN", 60.0)  # on a busy machine a request may take longer than one turn
    engine = Engine(MemoryStore())
    engine.begin(b'{"SH_NEW_SET":{"tkn":5,"keys":{"a":1}}}')
    engine.begin(b'{"KV_SET":{"keys":{"shared":{"x":1},"array":[]}}}')
    answer = engine.begin(json.dumps({command: REQUESTS[command]}).encode())
    assert isinstance(answer, bytes)
    assert json.loads(answer)[f"{command}_RSP"]["st"] == COMMANDS[command].success


def test_every_command_of_one_verb_is_among_them() -> None:
    assert REQUESTS.keys() >= ACTIONS.keys()
