"""Mistakes of newcomers get an error of ours that says what to write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from pydantic import BaseModel

from ndb_models import ConfigRepository, InvalidArgumentError, NdbClient, Repository, SessionModel
from tests.repository.models import User


class AppConfig(BaseModel):
    debug: bool = False


async def enter(it: Any) -> None:
    async with it:
        pass


async def enter_at_once(it: Any) -> None:
    with it:
        pass


async def wait_for(it: Any) -> None:
    await it


ENTERED: Final = r"async with repo\.edit\(tkn\)"
CONNECTED: Final = r"async with NdbClient\.connect\(uri\)"
MADE: Final = r"Repository\(client, UserSession\)"
CONFIGURED: Final = r"ConfigRepository\(client, AppConfig\)"

MISUSES: Final[dict[str, tuple[Callable[[Any], Awaitable[None]], Callable[[NdbClient], object], str]]] = {
    "with edit": (enter_at_once, lambda client: Repository(client, User).edit(7), ENTERED),
    "await edit": (wait_for, lambda client: Repository(client, User).edit(7), ENTERED),
    "with config.edit": (enter_at_once, lambda client: ConfigRepository(client, AppConfig).edit(), r"config\.edit\(\)"),
    "await config.edit": (wait_for, lambda client: ConfigRepository(client, AppConfig).edit(), r"config\.edit\(\)"),
    "async with NdbClient()": (enter, lambda _: NdbClient(), CONNECTED),
    "with NdbClient()": (enter_at_once, lambda _: NdbClient(), CONNECTED),
    "await NdbClient()": (wait_for, lambda _: NdbClient(), CONNECTED),
    "with connect": (enter_at_once, lambda _: NdbClient.connect("memory://"), CONNECTED),
    "async with repo": (enter, lambda client: Repository(client, User), "needs no opening"),
    "with repo": (enter_at_once, lambda client: Repository(client, User), "needs no opening"),
    "await repo": (wait_for, lambda client: Repository(client, User), "needs no opening"),
    "async with config": (enter, lambda client: ConfigRepository(client, AppConfig), "needs no opening"),
    "await config": (wait_for, lambda client: ConfigRepository(client, AppConfig), "needs no opening"),
}


@pytest.mark.parametrize("misuse", MISUSES)
async def test_what_is_entered_or_awaited_wrongly_says_how_it_is_used(misuse: str) -> None:
    use, made, said = MISUSES[misuse]
    async with NdbClient.connect("memory://") as client:
        with pytest.raises(InvalidArgumentError, match=said):
            await use(made(client))


async def test_a_repository_is_told_what_it_is_made_of() -> None:
    repository: Any = Repository
    configuration: Any = ConfigRepository
    async with NdbClient.connect("memory://") as client:
        for given in [
            (),
            (client,),
            (User,),
            (User, client),
            (client, User(username="billy")),
            (NdbClient.connect("memory://"), User),
        ]:
            with pytest.raises(InvalidArgumentError, match=MADE):
                repository(*given)
        with pytest.raises(InvalidArgumentError, match=MADE):
            repository(model=User)
        assert repository(client=client, model=User)
        for given in [(), (client,), (AppConfig, client)]:
            with pytest.raises(InvalidArgumentError, match=CONFIGURED):
                configuration(*given)
        assert configuration(client=client, model=AppConfig, namespace="app")


async def test_a_repository_of_ones_own_has_a_constructor_of_its_own() -> None:
    class Users(Repository[User]):
        def __init__(self, client: NdbClient) -> None:
            super().__init__(client, User)

    async with NdbClient.connect("memory://") as client:
        users = Users(client)
        user = await users.save(User(username="billy"))
        assert await users.get(user.tkn) == user


async def test_an_edit_is_entered_once() -> None:
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, User)
        editing = repo.edit((await repo.save(User(username="billy"))).tkn)
        async with editing as user:
            user.visits = 1
        with pytest.raises(InvalidArgumentError, match="once"):
            await enter(editing)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("localhost:1987", "'ws://localhost:1987/'"),
        ("127.0.0.1:1987", "'ws://127.0.0.1:1987/'"),
        ("sessions.example.org:1987/", "'ws://sessions.example.org:1987/'"),
        ("localhost", "'ws://localhost:1987/'"),
        ("http://127.0.0.1:1987/", "ws://"),
        ("https://127.0.0.1:1987/", "wss://"),
        ("nemesis://127.0.0.1", "ws://"),
        ("ndb://127.0.0.1", "ws://"),
        ("sqlite:sessions.db", "sqlite:///sessions.db"),
        ("sqlite:/var/sessions.db", "sqlite:///sessions.db"),
        ("file:///var/sessions.db", "sqlite:///sessions.db"),
        ("memory:", "memory://"),
        ("memory", "memory://"),
        ("./sessions.db", "sqlite:///"),
        ("ftp://host", "'ftp'"),
    ],
)
async def test_a_uri_that_names_nothing_is_told_what_to_write(text: str, instead: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        await NdbClient.connect(text)
    assert instead in str(refused.value)


@pytest.mark.parametrize("text", ["user:secret@host:1987", "http://user:secret@host/", "localhost:1987?token=secret"])
async def test_no_credential_of_such_a_uri_is_shown(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        await NdbClient.connect(text)
    assert "secret" not in str(refused.value)


async def test_schemes_may_be_written_in_capitals() -> None:
    async with NdbClient.connect("MEMORY://") as client:
        assert await client.kv_count() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"uri": 5}, "a URI is a str, not a int"),
        ({"uri": "ws://127.0.0.1:1/", "debug": "yes"}, "debug is a bool, not a str"),
        ({"uri": "wss://127.0.0.1:1/", "ssl": True}, "ssl is an ssl.SSLContext or None, not a bool"),
        ({"uri": "wss://127.0.0.1:1/", "ssl": "tls", "keepalive": None}, "ssl is an ssl.SSLContext or None"),
    ],
)
async def test_an_option_of_another_type_is_named_with_the_right_one(options: dict[str, Any], said: str) -> None:
    client: Any = NdbClient
    with pytest.raises(InvalidArgumentError, match=said):
        async with client.connect(**options):
            pass


async def test_a_repository_of_the_base_class_is_told_to_declare_one() -> None:
    async with NdbClient.connect("memory://") as client:
        with pytest.raises(InvalidArgumentError, match="declare a subclass"):
            Repository(client, SessionModel)
