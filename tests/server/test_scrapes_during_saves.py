"""A scrape of metrics and `SH_INFO_ALL` do not wait for a save, in memory and on SQLite."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.contract import SessionRecord
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.types import SessionToken
from tests.server.http_client import fetch
from tests.server.plain_client import GUARD, ask, plain, receive, send

T = TypeVar("T")


class _Saving:
    """What a save waits for, in whichever thread it reads."""

    def __init__(self) -> None:
        self._begun, self._may_go_on = threading.Event(), threading.Event()

    def held(self, consume: Callable[[Iterable[SessionRecord]], T]) -> Callable[[Iterable[SessionRecord]], T]:
        def consume_late(records: Iterable[SessionRecord]) -> T:
            self._begun.set()
            assert self._may_go_on.wait(60)
            return consume(records)

        return consume_late

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, 60)

    def go_on(self) -> None:
        self._may_go_on.set()


class SlowMemory(MemoryStore):
    def __init__(self, saving: _Saving) -> None:
        super().__init__()
        self._saving = saving

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        return await super().read_all(self._saving.held(consume), tokens)


class SlowFile(SqliteStore):
    def __init__(self, path: Path, saving: _Saving) -> None:
        super().__init__(path)
        self._saving = saving

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        return await super().read_all(self._saving.held(consume), tokens)


@pytest.fixture
def saving() -> _Saving:
    return _Saving()


@pytest.fixture(params=["memory", "sqlite"])
async def server(request: pytest.FixtureRequest, tmp_path: Path, saving: _Saving) -> AsyncIterator[NdbServer]:
    """A server whose `SH_SAVE` waits."""
    if request.param == "memory":
        store: SlowMemory | SlowFile = SlowMemory(saving)
    else:
        store = SlowFile(tmp_path / "sessions.db", saving)
        await store.open()
    async with NdbServer(Engine(store, persist_path=tmp_path), ServerOptions(port=0)) as server:
        yield server
        saving.go_on()


async def test_a_scrape_and_a_count_do_not_wait_for_a_save(server: NdbServer, saving: _Saving) -> None:
    async with asyncio.timeout(GUARD), plain(server) as client, plain(server) as other:
        await ask(client, "SH_NEW")
        await send(client, "SH_SAVE", name="sessions")
        await saving.begun()
        assert "ndb_sessions 1\n" in (await fetch(server, "/metrics")).body
        assert (await ask(other, "SH_INFO_ALL"))["totalSessions"] == 1
        saving.go_on()
        assert (await receive(client))["SH_SAVE_RSP"]["st"] == 121
