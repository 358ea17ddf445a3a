"""Every store that keeps the contract, each on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from ndb_models.stores.contract import NEVER, SHARED, Scope, Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.types import Clock
from tests.conftest import VirtualClock

OpenStore: TypeAlias = Callable[[Path, Clock], AbstractAsyncContextManager[Store]]
"""Opens an empty store, which may use an empty directory, on a clock."""

TOKEN = 16204359010587816757


@asynccontextmanager
async def open_memory(_directory: Path, clock: Clock) -> AsyncIterator[Store]:
    store = MemoryStore(clock=clock)
    yield store
    await store.aclose()


@asynccontextmanager
async def open_sqlite(directory: Path, clock: Clock) -> AsyncIterator[Store]:
    async with SqliteStore(directory / "sessions.db", clock=clock) as store:
        yield store


# A store that is new to the package gets a line here, and with it the whole suite.
STORES: dict[str, OpenStore] = {"memory": open_memory, "sqlite": open_sqlite}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Store]:
    """An empty store."""
    async with STORES[request.param](tmp_path, clock) as store:
        yield store


@pytest.fixture(params=["shared", "session"])
async def scope(request: pytest.FixtureRequest, store: Store) -> Scope:
    """An empty map of keys: the one that all share, and that of a session that never expires."""
    if request.param == "shared":
        return SHARED
    assert await store.create(TOKEN, NEVER)
    return TOKEN
