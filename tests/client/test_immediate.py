"""What is done in the call, where the store is in this process and does not wait: the same as by requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from ndb_models import Expiry, NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from ndb_models.texts import ObjectText
from ndb_models.wire.statuses import Status
from tests.conftest import VirtualClock

KEYS: Final = ObjectText.joined({"a": b"1", "b": b'"x"'})
SETTINGS: Final = Expiry(idle=10).on_the_wire.body["expiry"]


def is_immediate(client: NdbClient) -> bool:
    return client.immediate is not None


async def test_only_a_store_in_memory_is_asked_without_a_request(server: NdbServer, tmp_path: Path) -> None:
    async with NdbClient.connect("memory://") as client:
        assert is_immediate(client)
    assert not is_immediate(client)
    for uri in (server.uri, f"sqlite:///{tmp_path / 'sessions.db'}"):
        async with NdbClient.connect(uri) as client:
            assert not is_immediate(client)


async def test_a_store_with_limits_is_asked_without_a_request_too() -> None:
    immediate = Engine(MemoryStore(StoreLimits(sessions=1))).immediate
    assert immediate is not None
    assert immediate.create(5, None, KEYS) is True
    assert immediate.create(6, None, KEYS) is False
    assert immediate.read(6, ("a",)) is None


def members(keys: ObjectText | None) -> dict[str, bytes]:
    assert keys is not None
    return keys.split()


async def test_it_does_what_the_requests_do() -> None:
    async with NdbClient.connect("memory://") as client:
        immediate = client.immediate
        assert immediate is not None
        assert immediate.read(5, ("a",)) is None
        assert immediate.create(5, SETTINGS, KEYS) is True
        assert immediate.create(5, None, ObjectText(b"{}")) is False
        assert members(immediate.read(5, ("a", "b"))) == KEYS
        assert members(immediate.read(5, ("b", "c"))) == {"b": b'"x"'}
        assert members(immediate.read(5, ())) == {}
        assert await client.sh_get(("a", "b"), 5) == {"a": 1, "b": "x"}
        expiry = (await client.sh_info(5))["expiry"]
        assert isinstance(expiry, dict)
        assert {**expiry, "remaining": None} == {**SETTINGS, "remaining": None}
        await client.sh_set({"c": 3}, 5)
        assert members(immediate.read(5, ("a", "b", "c"))) == {**KEYS, "c": b"3"}
        await client.sh_end(5)
        assert immediate.read(5, ("a",)) is None


async def test_what_fails_unforeseen_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(MemoryStore, "get_now", fail)
    answer = json.loads(await Engine(MemoryStore()).handle(b'{"SH_GET":{"tkn":5,"keys":["a"]}}'))
    assert answer["SH_GET_RSP"]["st"] == Status.UNKNOWN


def test_reading_extends_the_expiry(clock: VirtualClock) -> None:
    immediate = Engine(MemoryStore(clock=clock)).immediate
    assert immediate is not None
    immediate.create(5, SETTINGS, KEYS)
    for _ in range(3):
        clock.move(9)
        assert members(immediate.read(5, ("a", "b"))) == KEYS
    clock.move(10)
    assert immediate.read(5, ("a", "b")) is None
