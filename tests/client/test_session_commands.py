"""The `sh_*` methods: names, arguments and results, by every way to reach an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from ndb_models.client import NdbClient, ResponseError, Session
from ndb_models.engine import Engine
from ndb_models.protocol.statuses import Status
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock

NEVER_GIVEN_OUT = 12345678901234567890


@pytest.fixture
async def timed_client(clock: VirtualClock) -> AsyncIterator[NdbClient]:
    """A client of a server whose time is the clock's."""
    engine = Engine(MemoryStore(clock=clock))
    async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
        yield client


async def test_a_created_session_has_a_token_and_no_keys(client: NdbClient) -> None:
    session = await client.sh_create_session()
    assert session.isValid
    assert 0 < session.tkn < 2**64
    assert await client.sh_count(session.tkn) == 0


async def test_each_session_has_its_own_token_and_keys(client: NdbClient) -> None:
    first, second = await client.sh_create_session(), await client.sh_create_session()
    assert first.tkn != second.tkn
    await client.sh_set({"a": 1}, first.tkn)
    await client.sh_set({"a": 2}, second.tkn)
    await client.kv_set({"a": 3})
    assert await client.sh_get(("a",), first.tkn) == {"a": 1}
    assert await client.sh_get(("a",), second.tkn) == {"a": 2}


def test_only_a_session_with_a_token_is_valid() -> None:
    assert Session(1).isValid
    assert not Session(0).isValid


async def test_setting_adding_and_getting(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    assert await client.sh_set({"fname": "James", "lname": "Smith"}, tkn) is True
    assert await client.sh_add({"fname": "Jim", "age": 30}, tkn) is True
    assert await client.sh_get(("fname", "age", "missing"), tkn) == {"fname": "James", "age": 30}


async def test_removing_counting_naming_and_contains(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"a": 1, "b": 2, "c": 3}, tkn)
    assert await client.sh_rmv(("b", "missing"), tkn) is True
    assert await client.sh_count(tkn) == 2
    assert sorted(await client.sh_keys(tkn)) == ["a", "c"]
    assert await client.sh_contains(("c", "b", "a"), tkn) == ["c", "a"]


async def test_clearing_leaves_the_session(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"a": 1, "b": 2}, tkn)
    assert await client.sh_clear(tkn) == 2
    assert await client.sh_session_exists([tkn]) == [tkn]
    assert await client.sh_clear_set({"c": 3}, tkn) == 0
    assert await client.sh_clear_set({"d": 4}, tkn) == 1
    assert await client.sh_get(("c", "d"), tkn) == {"d": 4}


async def test_an_ended_session_is_gone(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    assert await client.sh_end(tkn) is True
    with pytest.raises(ResponseError) as refused:
        await client.sh_end(tkn)
    assert refused.value.status == Status.SESSION_NOT_EXIST


OnASession = Callable[[NdbClient, int], Awaitable[object]]

ON_A_SESSION: dict[str, OnASession] = {
    "SH_SET": lambda client, tkn: client.sh_set({"a": 1}, tkn),
    "SH_ADD": lambda client, tkn: client.sh_add({"a": 1}, tkn),
    "SH_GET": lambda client, tkn: client.sh_get(("a",), tkn),
    "SH_RMV": lambda client, tkn: client.sh_rmv(("a",), tkn),
    "SH_COUNT": lambda client, tkn: client.sh_count(tkn),
    "SH_CONTAINS": lambda client, tkn: client.sh_contains(("a",), tkn),
    "SH_KEYS": lambda client, tkn: client.sh_keys(tkn),
    "SH_CLEAR": lambda client, tkn: client.sh_clear(tkn),
    "SH_CLEAR_SET": lambda client, tkn: client.sh_clear_set({"a": 1}, tkn),
    "SH_END": lambda client, tkn: client.sh_end(tkn),
    "SH_INFO": lambda client, tkn: client.sh_info(tkn),
}


@pytest.mark.parametrize("command", ON_A_SESSION)
async def test_a_token_that_was_never_given_out_is_refused_by_name(client: NdbClient, command: str) -> None:
    with pytest.raises(ResponseError) as refused:
        await ON_A_SESSION[command](client, NEVER_GIVEN_OUT)
    assert refused.value.status == Status.SESSION_NOT_EXIST
    assert refused.value.command == command


async def test_ending_all_sessions(client: NdbClient) -> None:
    tokens = [(await client.sh_create_session()).tkn for _ in range(3)]
    await client.kv_set({"shared": 1})
    assert await client.sh_end_all() == 3
    assert await client.sh_session_exists(tokens) == []
    assert await client.kv_count() == 1


async def test_exists_returns_those_that_do_in_their_order(client: NdbClient) -> None:
    first, second = (await client.sh_create_session()).tkn, (await client.sh_create_session()).tkn
    assert await client.sh_session_exists((second, NEVER_GIVEN_OUT, first)) == [second, first]
    assert await client.sh_session_exists(()) == []


async def test_info_of_a_session_that_never_expires(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"a": 1, "b": 2}, tkn)
    info = await client.sh_info(tkn)
    assert (info["keyCnt"], info["expires"]) == (2, False)
    assert "expiry" not in info
    assert "st" not in info


async def test_info_of_a_session_that_expires(client: NdbClient) -> None:
    session = await client.sh_create_session(
        durationSeconds=60, deleteSessionOnExpire=True, extendOnSetAdd=True, extendOnGet=False
    )
    info = await client.sh_info(session.tkn)
    assert info["expires"] is True
    expiry = info["expiry"]
    assert isinstance(expiry, dict)
    remaining = expiry.pop("remaining")
    assert isinstance(remaining, int)
    assert 59 <= remaining <= 60
    assert expiry == {"duration": 60, "deleteSession": True, "extendOnSetAdd": True, "extendOnGet": False}


async def test_info_of_all_sessions(client: NdbClient) -> None:
    for keys in ({"a": 1}, {"a": 1, "b": 2}):
        await client.sh_set(keys, (await client.sh_create_session()).tkn)
    info = await client.sh_info_all()
    assert (info["totalSessions"], info["totalKeys"]) == (2, 3)
    assert "st" not in info


@pytest.mark.parametrize("duration", [-1, -60])
async def test_a_negative_duration_is_a_value_error(client: NdbClient, duration: int) -> None:
    with pytest.raises(ValueError, match="durationSeconds"):
        await client.sh_create_session(duration)


@pytest.mark.parametrize("flag", ["deleteSessionOnExpire", "extendOnSetAdd", "extendOnGet"])
async def test_a_flag_without_a_duration_is_a_value_error(client: NdbClient, flag: str) -> None:
    with pytest.raises(ValueError, match="durationSeconds"):
        await client.sh_create_session(0, **{flag: True})
    assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_session_that_is_deleted_on_expiry_is_gone(timed_client: NdbClient, clock: VirtualClock) -> None:
    tkn = (await timed_client.sh_create_session(60, deleteSessionOnExpire=True)).tkn
    await timed_client.sh_set({"a": 1}, tkn)
    clock.move(59.9)
    assert await timed_client.sh_get(("a",), tkn) == {"a": 1}
    clock.move(0.1)
    with pytest.raises(ResponseError) as refused:
        await timed_client.sh_get(("a",), tkn)
    assert refused.value.status == Status.SESSION_NOT_EXIST


async def test_a_session_that_is_not_deleted_on_expiry_is_emptied(timed_client: NdbClient, clock: VirtualClock) -> None:
    tkn = (await timed_client.sh_create_session(60)).tkn
    await timed_client.sh_set({"a": 1}, tkn)
    clock.move(60)
    assert await timed_client.sh_get(("a",), tkn) == {}
    assert await timed_client.sh_session_exists([tkn]) == [tkn]


EXTENDING: dict[str, OnASession] = {
    "set": ON_A_SESSION["SH_SET"],
    "add": ON_A_SESSION["SH_ADD"],
    "get": ON_A_SESSION["SH_GET"],
}


@pytest.mark.parametrize(
    ("extend_on_set_add", "extend_on_get", "verb", "lives"),
    [
        (True, False, "set", True),
        (True, False, "add", True),
        (True, False, "get", False),
        (False, True, "get", True),
        (False, True, "set", False),
        (False, False, "get", False),
    ],
)
async def test_what_extends_the_expiry(
    timed_client: NdbClient,
    clock: VirtualClock,
    extend_on_set_add: bool,
    extend_on_get: bool,
    verb: str,
    lives: bool,
) -> None:
    session = await timed_client.sh_create_session(
        60, deleteSessionOnExpire=True, extendOnSetAdd=extend_on_set_add, extendOnGet=extend_on_get
    )
    clock.move(40)
    await EXTENDING[verb](timed_client, session.tkn)
    clock.move(40)
    assert await timed_client.sh_session_exists([session.tkn]) == ([session.tkn] if lives else [])


async def test_saved_sessions_are_restored_under_their_tokens(client: NdbClient) -> None:
    first, second = (await client.sh_create_session()).tkn, (await client.sh_create_session(60)).tkn
    await client.sh_set({"a": 1, "b": 2}, first)
    await client.sh_set({"c": 3}, second)
    assert await client.sh_save("sessions") is True
    await client.sh_end_all()
    loaded = await client.sh_load("sessions")
    assert (loaded["name"], loaded["sessions"], loaded["keys"]) == ("sessions", 2, 3)
    assert await client.sh_get(("a", "b"), first) == {"a": 1, "b": 2}
    assert (await client.sh_info(second))["expires"] is True


async def test_only_the_named_sessions_are_saved(client: NdbClient) -> None:
    first, second = (await client.sh_create_session()).tkn, (await client.sh_create_session()).tkn
    assert await client.sh_save("one", [first]) is True
    await client.sh_end_all()
    await client.sh_load("one")
    assert await client.sh_session_exists([first, second]) == [first]


async def test_loading_leaves_sessions_that_exist_alone(client: NdbClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"a": "saved"}, tkn)
    await client.sh_save("sessions")
    await client.sh_set({"a": "later"}, tkn)
    assert (await client.sh_load("sessions"))["sessions"] == 0
    assert await client.sh_get(("a",), tkn) == {"a": "later"}


async def test_saving_under_no_name_is_a_value_error(client: NdbClient) -> None:
    with pytest.raises(ValueError, match="name"):
        await client.sh_save("")


async def test_loading_unknown_sessions_is_refused(client: NdbClient) -> None:
    with pytest.raises(ResponseError) as refused:
        await client.sh_load("never_saved")
    assert refused.value.status == Status.LOAD_ERROR
