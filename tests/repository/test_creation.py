"""Creating a session, which takes two requests of a NemesisDB: where it is cut short, nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ndb_models import ConnectionLostError, NdbClient, PayloadTooLargeError, Repository, ResponseError
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from tests.nemesisdb import NemesisDbEngine
from tests.repository.models import EternalUser, User
from tests.repository.recording import RecordingEngine
from tests.stores.watched_store import WatchedStore


class HeldStore(WatchedStore):
    """Keeps whoever creates or writes waiting; once it is full it refuses to write."""

    def __init__(self) -> None:
        super().__init__()
        self.creating = asyncio.Event()
        self.writing = asyncio.Event()
        self.may_create = asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_create.set()
        self.may_write.set()
        self.full = False

    async def before(self, verb: str, *_args: Any) -> None:
        if verb in ("new", "create"):
            self.creating.set()
            await self.may_create.wait()
        if verb in ("create", "set"):
            await self._write()

    async def _write(self) -> None:
        self.writing.set()
        await self.may_write.wait()
        if self.full:
            raise OSError("no space left on device")


@pytest.fixture
def store() -> HeldStore:
    return HeldStore()


@pytest.fixture(params=[Engine, NemesisDbEngine], ids=["whole", "in parts"])
async def held(request: pytest.FixtureRequest, store: HeldStore) -> AsyncIterator[NdbServer]:
    async with NdbServer(request.param(store), ServerOptions(port=0, max_payload=2048)) as server:
        yield server


async def test_a_refused_write_leaves_no_session_behind(store: HeldStore, held: NdbServer) -> None:
    store.full = True
    async with NdbClient.connect(held.uri) as client:
        user = User(username="b")
        with pytest.raises(ResponseError):
            await Repository(client, User).save(user)
        assert not user.is_saved
        assert (await client.sh_info_all())["totalSessions"] == 0
        store.full = False
        await Repository(client, User).save(user)
        assert user.is_saved


async def test_a_write_that_the_client_finds_too_large_leaves_no_session_behind(held: NdbServer) -> None:
    async with NdbClient.connect(held.uri, max_payload=2048) as client:
        with pytest.raises(PayloadTooLargeError):
            await Repository(client, EternalUser).save(EternalUser(username="b" * 4096))
        assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_write_that_the_server_finds_too_large_leaves_no_session_behind(held: NdbServer) -> None:
    async with NdbClient.connect(held.uri) as client:
        with pytest.raises(ConnectionLostError, match="too large; max_payload= is what the server takes"):
            await Repository(client, EternalUser).save(EternalUser(username="b" * 4096))
    async with NdbClient.connect(held.uri) as client:
        assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_creation_that_is_cancelled_while_it_writes_leaves_no_session_behind(
    store: HeldStore, held: NdbServer
) -> None:
    store.may_write.clear()
    async with NdbClient.connect(held.uri) as client:
        user = EternalUser(username="b")
        saving = asyncio.ensure_future(Repository(client, EternalUser).save(user))
        await store.writing.wait()
        saving.cancel()
        store.may_write.set()
        with pytest.raises(asyncio.CancelledError):
            await saving
        assert not user.is_saved
        assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_creation_that_is_cancelled_before_its_token_is_known_leaves_no_session_behind(
    store: HeldStore, held: NdbServer
) -> None:
    store.may_create.clear()
    async with NdbClient.connect(held.uri) as client:
        saving = asyncio.ensure_future(Repository(client, EternalUser).save(EternalUser(username="b")))
        await store.creating.wait()
        saving.cancel()
        store.may_create.set()
        with pytest.raises(asyncio.CancelledError):
            await saving
        # The second request is answered after whatever the first has left to be done.
        assert (await client.sh_info_all(), await client.sh_info_all())[1]["totalSessions"] == 0


async def test_a_server_that_cannot_create_whole_is_asked_but_once(
    watched: Repository[User], engine: RecordingEngine
) -> None:
    engine.like_nemesisdb = True
    first = await watched.save(User(username="a"))
    assert engine.commands() == ["SH_NEW_SET", "SH_NEW", "SH_SET"]
    second = await watched.save(User(username="b"))
    assert engine.commands() == ["SH_NEW", "SH_SET"]
    assert [await watched.get(first.tkn), await watched.get(second.tkn)] == [User(username="a"), User(username="b")]


async def test_a_server_that_can_is_asked_nothing_else(watched: Repository[User], engine: RecordingEngine) -> None:
    user = await watched.save(User(username="a"))
    assert engine.commands() == ["SH_NEW_SET"]
    assert await watched.get(user.tkn) == User(username="a")


async def test_a_token_that_is_taken_is_not_written_over(
    users: Repository[User], client: NdbClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await users.save(User(username="a"))
    monkeypatch.setattr("ndb_models.sessions.creation.draw_token", lambda: first.tkn)
    second = await users.save(User(username="b"))
    assert second.tkn != first.tkn
    assert (await users.get(first.tkn), await users.get(second.tkn)) == (User(username="a"), User(username="b"))
    assert (await client.sh_info_all())["totalSessions"] == 2
