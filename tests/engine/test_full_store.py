"""What is answered where a store has no room, and how deep a request may be nested where less is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from tests.engine.asking import Asker


def asker(**limits: int) -> Asker:
    return Asker(Engine(MemoryStore(StoreLimits(**limits))))


@pytest.mark.parametrize("command", ["SH_NEW", "SH_NEW_SET"])
async def test_a_session_too_many_could_not_be_created(command: str) -> None:
    ask = asker(sessions=1)
    await ask("SH_NEW")
    body = {"tkn": 7, "keys": {"a": 1}} if command == "SH_NEW_SET" else {}
    answer = await ask(command, **body)
    assert (answer["st"], answer["m"]) == (103, "the store keeps at most 1 sessions")
    assert (await ask("SH_INFO_ALL"))["totalSessions"] == 1


async def test_keys_too_many_are_a_wrong_size() -> None:
    ask = asker(keys=1)
    tkn = (await ask("SH_NEW"))["tkn"]
    answer = await ask("SH_SET", tkn=tkn, keys={"a": 1, "b": 2})
    assert (answer["st"], answer["m"]) == (42, "the store keeps at most 1 keys in a session")
    assert (await ask("SH_COUNT", tkn=tkn))["cnt"] == 0


async def test_bytes_too_many_are_a_wrong_size() -> None:
    ask = asker(size=1000)
    await ask("KV_SET", keys={"a": [1]})
    large = "x" * 1000
    bodies: dict[str, dict[str, Any]] = {
        "KV_SET": {"keys": {"b": large}},
        "KV_ADD": {"keys": {"b": large}},
        "KV_ARR_APPEND": {"key": "a", "items": [large]},
        "KV_UPDATE": {"key": "a", "path": "$[0]", "value": large},
        "KV_CLEAR_SET": {"keys": {"b": large}},
        "SH_NEW_SET": {"tkn": 7, "keys": {"b": large}},
    }
    for command, body in bodies.items():
        answer = await ask(command, **body)
        full = "the store keeps at most 1000 bytes of names and values, and of memory around them"
        assert (answer["st"], answer["m"]) == (42, full), command
    assert await ask.shared() == {"a": [1]}
    assert (await ask("SH_INFO_ALL"))["totalSessions"] == 0


@pytest.mark.parametrize(("levels", "status"), [(5, 1), (6, 3)])
async def test_nesting_may_be_allowed_less_of(levels: int, status: int) -> None:
    ask = Asker(Engine(MemoryStore(), max_nesting=5))
    inner = levels - 3  # the frame, the parameters and the keys are three
    answer = await ask.engine.handle(b'{"KV_SET":{"keys":{"a":' + b"[" * inner + b"]" * inner + b"}}}")
    assert b'"st":%d' % status in answer
