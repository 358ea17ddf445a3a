"""A NemesisDB that is too old for sessions, or too new, is named as such when it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ndb_models import ConfigRepository, NdbClient, Repository, SessionModel, UnsupportedServerError
from ndb_models.errors import ConnectionLostError, ResponseError
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.configuration.models import App
from tests.nemesisdb import COMMANDS, SH_COMMANDS, NemesisDbEngine


class User(SessionModel, schema="supported-user"):
    username: str = "billy"


OLDER = COMMANDS - {"SH_SET", "SH_ADD", "SH_GET"}
"""Sessions of another kind, of which only the names of some commands are the same."""
WITHOUT = COMMANDS - SH_COMMANDS

VERBS: dict[str, Callable[[Repository[User]], Awaitable[object]]] = {
    "create": lambda repo: repo.create(User()),
    "save": lambda repo: repo.save(User()),
    "get": lambda repo: repo.get(5),
    "exists": lambda repo: repo.exists(5),
    "update": lambda repo: repo.update(5, username="jane"),
    "delete": lambda repo: repo.delete(5),
    "touch": lambda repo: repo.touch(5),
}
RAW: dict[str, Callable[[NdbClient], Awaitable[object]]] = {
    "sh_set": lambda client: client.sh_set({"a": 1}, 5),
    "sh_get": lambda client: client.sh_get(["a"], 5),
}


@asynccontextmanager
async def connected(version: str, commands: frozenset[str]) -> AsyncIterator[NdbClient]:
    engine = NemesisDbEngine(MemoryStore(), version=version, commands=commands)
    async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
        yield client


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
async def test_every_verb_names_an_older_version(verb: Callable[[Repository[User]], Awaitable[object]]) -> None:
    async with connected("0.6.6", OLDER) as client:
        with pytest.raises(
            UnsupportedServerError, match=r"NemesisDB 0\.6\.6\) .* use a NemesisDB of 0\.7 to 0\.8"
        ) as old:
            await verb(Repository(client, User))
        assert old.value.status == 10
        assert isinstance(old.value, ResponseError)
        assert (await client.sh_info_all())["totalSessions"] == 0


@pytest.mark.parametrize("call", RAW.values(), ids=RAW)
async def test_the_raw_client_names_it_too(call: Callable[[NdbClient], Awaitable[object]]) -> None:
    async with connected("0.6.6", OLDER) as client:
        with pytest.raises(UnsupportedServerError, match=r"NemesisDB 0\.6\.6"):
            await call(client)


async def test_of_a_newer_version_without_sessions_what_answers_is_named() -> None:
    async with connected("0.9.0", WITHOUT) as client:
        repo = Repository(client, User)
        with pytest.raises(ConnectionLostError) as first:
            await repo.save(User())  # SH_NEW is answered under the name of the first command that was not known
        assert "NemesisDB of 0.7 to 0.8" in str(first.value.__cause__)


async def test_of_a_newer_version_the_first_command_that_is_not_known_is_answered_as_such() -> None:
    async with connected("0.9.0", WITHOUT) as client:
        with pytest.raises(UnsupportedServerError, match=r"NemesisDB 0\.9\.0"):
            await Repository(client, User).get(5)


@pytest.mark.parametrize("commands", [OLDER, WITHOUT], ids=["older", "newer"])
async def test_shared_keys_need_no_sessions(commands: frozenset[str]) -> None:
    async with connected("0.6.6", commands) as client:
        config = ConfigRepository(client, App, namespace="app")
        await config.save(App())
        assert await config.load() == App()
        await client.kv_set({"a": 1})


@pytest.mark.parametrize("version", ["0.7.0", "0.7.2", "0.8.0"])
async def test_supported_versions_are_not_asked_for_theirs(version: str) -> None:
    asked: list[str] = []

    class Counting(NemesisDbEngine):
        def begin(self, frame: bytes, admin: bool = True, *others: Any) -> Any:
            asked.append(frame[2:9].decode())
            return super().begin(frame, admin, *others)

    engine = Counting(MemoryStore(), version=version)
    async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
        repo = Repository(client, User)
        session = await repo.save(User())
        await repo.update(session.tkn, username="jane")
        assert (await repo.get(session.tkn)).username == "jane"
    assert "SV_INFO" not in asked
