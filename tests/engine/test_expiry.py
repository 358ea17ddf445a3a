"""Expiry as a client sees it: through frames, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import VirtualClock
from tests.engine.asking import Asker


@pytest.fixture
def ask(ask_any: Asker) -> Asker:
    """On every store."""
    return ask_any


EXTENDING: dict[str, tuple[str, dict[str, Any]]] = {
    "SH_SET": ("extendOnSetAdd", {"keys": {"a": 1}}),
    "SH_ADD": ("extendOnSetAdd", {"keys": {"a": 1}}),
    "SH_GET": ("extendOnGet", {"keys": ["a"]}),
}
NOT_EXTENDING: dict[str, dict[str, Any]] = {
    "SH_CLEAR_SET": {"keys": {"a": 1}},
    "SH_RMV": {"keys": ["b"]},
    "SH_CONTAINS": {"keys": ["a"]},
    "SH_KEYS": {},
    "SH_COUNT": {},
    "SH_CLEAR": {},
    "SH_INFO": {},
}


# What a request that has nothing to do is sent with.
NOTHING: dict[str, dict[str, Any]] = {"SH_SET": {"keys": {}}, "SH_ADD": {"keys": {}}, "SH_GET": {"keys": []}}


async def remaining(ask: Asker, token: int) -> object:
    return (await ask("SH_INFO", tkn=token))["expiry"]["remaining"]


async def test_a_session_that_is_to_be_deleted_is_gone_at_its_second(ask: Asker, clock: VirtualClock) -> None:
    token = await ask.new(duration=60, deleteSession=True)
    await ask("SH_SET", tkn=token, keys={"a": 1})
    clock.move(59.875)
    assert (await ask("SH_GET", tkn=token, keys=["a"]))["keys"] == {"a": 1}
    clock.move(0.125)
    assert await ask.status("SH_GET", tkn=token, keys=["a"]) == 100
    assert (await ask("SH_EXISTS", tkns=[token]))["exist"] == []
    assert await ask("SH_INFO", tkn=token) == {"keyCnt": None, "shared": None, "st": 100, "tkn": token}
    assert await ask("SH_END", tkn=token) == {"st": 100, "tkn": token}
    assert await ask("SH_INFO_ALL") == {"st": 1, "totalKeys": 0, "totalSessions": 0}


async def test_any_other_is_emptied_and_begins_anew(ask: Asker, clock: VirtualClock) -> None:
    token = await ask.new(duration=60)
    for _ in range(3):
        await ask("SH_SET", tkn=token, keys={"a": 1})
        clock.move(60)
        assert await ask("SH_GET", tkn=token, keys=["a"]) == {"keys": {}, "st": 1}
        assert await remaining(ask, token) == 60
    assert await ask("SH_INFO_ALL") == {"st": 1, "totalKeys": 0, "totalSessions": 1}


async def test_remaining_is_never_negative(ask: Asker, clock: VirtualClock) -> None:
    token = await ask.new(duration=10)
    for _ in range(100):
        clock.move(0.375)
        seconds = await remaining(ask, token)
        assert isinstance(seconds, int)
        assert 0 <= seconds <= 10


@pytest.mark.parametrize("command", EXTENDING)
async def test_set_add_and_get_extend_where_asked_to(ask: Asker, clock: VirtualClock, command: str) -> None:
    option, params = EXTENDING[command]
    token = await ask.new(duration=60, deleteSession=True, **{option: True})
    clock.move(59)
    await ask(command, tkn=token, **params)
    assert await remaining(ask, token) == 60
    clock.move(59)
    assert await ask.status("SH_COUNT", tkn=token) == 1
    clock.move(1)
    assert await ask.status("SH_COUNT", tkn=token) == 100


@pytest.mark.parametrize("command", NOTHING)
async def test_they_extend_too_where_they_name_no_keys(ask: Asker, clock: VirtualClock, command: str) -> None:
    token = await ask.new(duration=60, deleteSession=True, **{EXTENDING[command][0]: True})
    clock.move(59)
    assert await ask.status(command, tkn=token, **NOTHING[command]) == 1
    assert await remaining(ask, token) == 60


@pytest.mark.parametrize("command", EXTENDING)
async def test_they_do_not_where_only_the_other_was_asked_for(ask: Asker, clock: VirtualClock, command: str) -> None:
    option, params = EXTENDING[command]
    other = {"extendOnSetAdd": "extendOnGet", "extendOnGet": "extendOnSetAdd"}[option]
    token = await ask.new(duration=60, deleteSession=True, **{other: True})
    clock.move(59)
    await ask(command, tkn=token, **params)
    assert await remaining(ask, token) == 1


@pytest.mark.parametrize("command", NOT_EXTENDING)
async def test_no_other_command_extends(ask: Asker, clock: VirtualClock, command: str) -> None:
    token = await ask.new(duration=60, deleteSession=True, extendOnSetAdd=True, extendOnGet=True)
    clock.move(59)
    assert await ask.status(command, tkn=token, **NOT_EXTENDING[command]) == 1
    assert await remaining(ask, token) == 1


@pytest.mark.parametrize("delete_session", [True, False])
async def test_a_duration_of_zero_is_never(ask: Asker, clock: VirtualClock, delete_session: bool) -> None:
    token = await ask.new(duration=0, deleteSession=delete_session, extendOnSetAdd=True, extendOnGet=True)
    await ask("SH_SET", tkn=token, keys={"a": 1})
    clock.move(10**9)
    assert (await ask("SH_GET", tkn=token, keys=["a"]))["keys"] == {"a": 1}
    info = await ask("SH_INFO", tkn=token)
    assert (info["expires"], info["keyCnt"], "expiry" in info) == (False, 1, False)


async def test_the_longest_duration_is_taken(ask: Asker, clock: VirtualClock) -> None:
    token = await ask.new(duration=2**64 - 1, deleteSession=True, extendOnSetAdd=True)
    clock.move(10**9)
    assert await ask.status("SH_SET", tkn=token, keys={"a": 1}) == 1
    assert (await ask("SH_INFO", tkn=token))["expiry"]["duration"] == 2**64 - 1


async def test_the_shared_map_does_not_expire(ask: Asker, clock: VirtualClock) -> None:
    await ask("KV_SET", keys={"a": 1})
    await ask.new(duration=1)
    clock.move(10**9)
    assert await ask.shared() == {"a": 1}


async def test_sweeping_changes_nothing_that_can_be_seen(ask: Asker, clock: VirtualClock) -> None:
    ending, staying = await ask.new(duration=60, deleteSession=True), await ask.new(duration=60)
    for token in (ending, staying):
        await ask("SH_SET", tkn=token, keys={"a": 1})
    await ask.engine.sweep()
    assert await ask("SH_INFO_ALL") == {"st": 1, "totalKeys": 2, "totalSessions": 2}
    clock.move(90)
    await ask.engine.sweep()
    assert (await ask("SH_EXISTS", tkns=[ending, staying]))["exist"] == [staying]
    assert await remaining(ask, staying) == 30
