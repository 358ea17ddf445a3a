"""An application needs two classes of errors: one to answer 503, one to ask for a new login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from ndb_models import (
    JsonValue,
    NdbClient,
    NdbError,
    NotSavedError,
    Repository,
    ResponseError,
    ServerUnavailableError,
    SessionModel,
    UnavailableError,
    UnusableSessionError,
)
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from tests.client.scripted_server import Script, answer_nothing, answering, scripted
from tests.client.test_failing_servers import abort
from tests.reloading import in_place_of
from tests.repository.models import Otp, User


@in_place_of(User)
class Strict(SessionModel, schema="User"):
    """What a stored `User` does not fit."""

    username: Annotated[str, Field(max_length=1)]


@in_place_of(User)
class Newer(SessionModel, schema="User", version=3, oldest=3):
    """What newer code wrote."""

    username: str


@in_place_of(User)
class Upgraded(SessionModel, schema="User", version=2):
    """What upgrades a `User`, and fails at it."""

    username: str


@Upgraded.upgrade(1)
def fail(_keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    raise ValueError


@in_place_of(User)
class NotUpgraded(SessionModel, schema="User", version=3, oldest=2):
    """What upgrades a `User` no more."""

    username: str


@NotUpgraded.upgrade(2)
def keep(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return keys


async def ended(client: NdbClient) -> int:
    users = Repository(client, User)
    tkn = (await users.save(User(username="billy"))).tkn
    await users.delete(tkn)
    return tkn


async def of_another_model(client: NdbClient) -> int:
    return (await Repository(client, Otp).save(Otp(code=1))).tkn


async def newer(client: NdbClient) -> int:
    return (await Repository(client, Newer).save(Newer(username="billy"))).tkn


async def incomplete(client: NdbClient) -> int:
    return (await client.sh_create_session()).tkn


async def foreign(client: NdbClient) -> int:
    tkn = await incomplete(client)
    await client.sh_set({"username": "billy"}, tkn)
    return tkn


async def whole(client: NdbClient) -> int:
    return (await Repository(client, User).save(User(username="billy"))).tkn


@pytest.mark.parametrize(
    ("given", "model"),
    [
        (ended, User),
        (of_another_model, User),
        (newer, Upgraded),
        (incomplete, User),
        (foreign, User),
        (whole, Strict),
        (whole, Upgraded),
        (whole, NotUpgraded),
    ],
)
async def test_a_session_that_cannot_be_used_is_one_class(
    client: NdbClient, given: Callable[[NdbClient], Awaitable[int]], model: type[SessionModel]
) -> None:
    with pytest.raises(UnusableSessionError) as unusable:
        await Repository(client, model).get(await given(client))
    assert not isinstance(unusable.value, UnavailableError)


async def test_a_model_that_was_never_saved_is_no_unusable_session(users: Repository[User]) -> None:
    with pytest.raises(NotSavedError) as not_saved:
        await users.rotate(User(username="billy"))
    assert not isinstance(not_saved.value, (UnusableSessionError, UnavailableError))


@pytest.mark.parametrize(
    "script",
    [
        abort,
        answer_nothing,
        answering("hello"),
        answering('{"SH_GET_RSP":{"st":1}}'),
        answering('{"SH_GET_RSP":{"st":1000,"m":"the disk is full","tkn":null}}'),
        answering('{"SH_GET_RSP":{"st":140,"m":"","tkn":null}}'),
    ],
    ids=["aborts", "says nothing", "no protocol", "no keys", "its store failed", "it is loading"],
)
async def test_a_server_that_cannot_do_it_is_one_class(script: Script) -> None:
    async with (
        scripted(script) as uri,
        NdbClient.connect(uri, request_timeout=0.2, reconnect=False) as client,
    ):
        with pytest.raises(UnavailableError):
            await Repository(client, User).get(7)


@pytest.mark.parametrize("uri", ["ws://127.0.0.1:1/", "sqlite:////proc/none/sessions.db"])
async def test_what_cannot_be_opened_is_unavailable(uri: str) -> None:
    with pytest.raises(UnavailableError):
        await NdbClient.connect(uri)


async def test_a_client_that_is_closed_is_unavailable(client: NdbClient) -> None:
    await client.close()
    with pytest.raises(UnavailableError):
        await Repository(client, User).get(7)


async def test_a_file_that_is_damaged_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UnavailableError):
        await NdbClient.connect(f"sqlite:///{tmp_path / 'sessions.db'}")


async def test_a_server_that_is_full_of_sessions_is_unavailable() -> None:
    server = NdbServer(Engine(MemoryStore(StoreLimits(sessions=1))), ServerOptions(port=0))
    async with server, NdbClient.connect(server.uri) as client:
        users = Repository(client, User)
        await users.save(User(username="billy"))
        with pytest.raises(ServerUnavailableError) as full:
            await users.save(User(username="james"))
    assert full.value.status == 103
    assert isinstance(full.value, ResponseError)


async def test_what_the_caller_did_wrong_is_not_unavailable(client: NdbClient) -> None:
    await client.kv_set({"name": "billy"})
    wrong: list[Callable[[], Awaitable[object]]] = [
        lambda: client.kv_arr_append("name", [1]),  # status 1000
        lambda: client.kv_update("none", "$.a", 1),
        lambda: client.kv_find("no path"),
        lambda: client.kv_load("none"),
        lambda: client.sh_get(["a"], 7),
    ]
    for call in wrong:
        with pytest.raises(NdbError) as refused:
            await call()
        assert type(refused.value) is ResponseError
