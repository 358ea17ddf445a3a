"""Every store that keeps the contract, each on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest

from ndb_models.stores.bounded import BoundedMemoryStore, StoreLimits
from ndb_models.stores.contract import NEVER, SHARED, Scope, Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.types import Clock
from tests.conftest import VirtualClock

OpenStore: TypeAlias = Callable[[Clock], AbstractAsyncContextManager[Store]]

TOKEN = 16204359010587816757


@asynccontextmanager
async def open_memory(clock: Clock) -> AsyncIterator[Store]:
    store = MemoryStore(clock=clock)
    yield store
    await store.aclose()


@asynccontextmanager
async def open_bounded_memory(clock: Clock) -> AsyncIterator[Store]:
    store = BoundedMemoryStore(StoreLimits(sessions=10_000, keys=10_000, size=100_000_000), clock=clock)
    yield store
    await store.aclose()


# A store that is new to the package gets a line here, and with it the whole suite.
STORES: dict[str, OpenStore] = {"memory": open_memory, "bounded memory": open_bounded_memory}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, clock: VirtualClock) -> AsyncIterator[Store]:
    """An empty store."""
    async with STORES[request.param](clock) as store:
        yield store


@pytest.fixture(params=["shared", "session"])
async def scope(request: pytest.FixtureRequest, store: Store) -> Scope:
    """An empty map of keys: the one that all share, and that of a session that never expires."""
    if request.param == "shared":
        return SHARED
    assert await store.create(TOKEN, NEVER)
    return TOKEN
