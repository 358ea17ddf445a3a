"""A request to a store in memory is carried out in the call, without waiting. Its answer is the same as by a frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from ndb_models import Expiry, NdbClient
from ndb_models.engine import Engine
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import NO_PARAMETERS, Parameters, Prepared, expiring
from ndb_models.protocol.statuses import Status
from ndb_models.server import NdbServer
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.memory_verbs import MemoryVerbs
from ndb_models.stores.occupancy import StoreLimits
from tests.conftest import VirtualClock

KEYS: Final = ObjectText.joined({"a": b"1", "b": b'"x"'})
EXPIRY: Final = expiring(Expiry(idle=10).settings)


def create(tkn: int, parameters: Parameters = NO_PARAMETERS, keys: ObjectText = KEYS) -> Prepared:
    return Prepared(COMMANDS["SH_NEW_SET"], tkn, parameters, keys)


def read(tkn: int, *names: str) -> Prepared:
    return Prepared(COMMANDS["SH_GET"], tkn, Parameters(keys=names))


def performed(engine: Engine, prepared: Prepared) -> dict[str, Any]:
    body = engine.perform(prepared)
    assert isinstance(body, dict)
    return body


def members(body: dict[str, Any]) -> dict[str, bytes]:
    assert body["st"] == Status.OK
    keys: ObjectText = body["keys"]
    return keys.split()


async def test_only_a_store_in_memory_answers_at_once(server: NdbServer, tmp_path: Path) -> None:
    async with NdbClient.connect("memory://") as client:
        assert isinstance(client.begin(create(5)), dict)
    for uri in (server.uri, f"sqlite:///{tmp_path / 'sessions.db'}"):
        async with NdbClient.connect(uri) as client:
            begun = client.begin(create(5))
            assert not isinstance(begun, dict)
            assert (await begun)["st"] == Status.OK


async def test_a_store_with_limits_answers_at_once_too() -> None:
    engine = Engine(MemoryStore(StoreLimits(sessions=1)))
    assert performed(engine, create(5))["st"] == Status.OK
    assert performed(engine, create(6))["st"] == Status.SESSION_NEW_FAIL
    assert performed(engine, read(6, "a"))["st"] == Status.SESSION_NOT_EXIST


async def test_it_does_what_the_requests_do() -> None:
    async with NdbClient.connect("memory://") as client:
        assert (await client.perform(read(5, "a")))["st"] == Status.SESSION_NOT_EXIST
        assert (await client.perform(create(5, EXPIRY)))["st"] == Status.OK
        assert (await client.perform(create(5, keys=ObjectText(b"{}"))))["st"] == Status.SESSION_NEW_FAIL
        assert members(await client.perform(read(5, "a", "b"))) == KEYS
        assert members(await client.perform(read(5, "b", "c"))) == {"b": b'"x"'}
        assert members(await client.perform(read(5))) == {}
        assert await client.sh_get(("a", "b"), 5) == {"a": 1, "b": "x"}
        expiry = (await client.sh_info(5))["expiry"]
        assert isinstance(expiry, dict)
        assert (expiry["duration"], expiry["deleteSession"], expiry["extendOnGet"]) == (10, True, True)
        await client.sh_set({"c": 3}, 5)
        assert members(await client.perform(read(5, "a", "b", "c"))) == {**KEYS, "c": b"3"}
        await client.sh_end(5)
        assert (await client.perform(read(5, "a")))["st"] == Status.SESSION_NOT_EXIST


async def test_what_fails_unforeseen_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(MemoryVerbs, "get", fail)
    answer = json.loads(await Engine(MemoryStore()).handle(b'{"SH_GET":{"tkn":5,"keys":["a"]}}'))
    assert answer["SH_GET_RSP"]["st"] == Status.UNKNOWN


def test_reading_extends_the_expiry(clock: VirtualClock) -> None:
    engine = Engine(MemoryStore(clock=clock))
    performed(engine, create(5, EXPIRY))
    for _ in range(3):
        clock.move(9)
        assert members(performed(engine, read(5, "a", "b"))) == KEYS
    clock.move(10)
    assert performed(engine, read(5, "a", "b"))["st"] == Status.SESSION_NOT_EXIST
