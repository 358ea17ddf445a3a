"""Every store that keeps the contract, each on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ndb_models import NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.contract import NEVER, SHARED, Scope, Store
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.stores.redis.store import RedisStore
from ndb_models.stores.shared import SharedMemoryStore
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.types import Clock
from tests.conftest import VirtualClock
from tests.redis_uris import IS_COMPLETE, KINDS, redis_uri
from tests.stores.served import ServedStore

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


@asynccontextmanager
async def open_bounded_memory(_directory: Path, clock: Clock) -> AsyncIterator[Store]:
    store = MemoryStore(StoreLimits(sessions=10_000, keys=10_000, size=100_000_000), clock=clock)
    yield store
    await store.aclose()


@asynccontextmanager
async def open_shared_memory(_directory: Path, clock: Clock) -> AsyncIterator[Store]:
    store = SharedMemoryStore(clock=clock)
    yield store
    await store.aclose()


def on_redis(kind: str) -> OpenStore:
    """Open a store on a kind of server."""

    @asynccontextmanager
    async def open_redis(_directory: Path, clock: Clock) -> AsyncIterator[Store]:
        async with RedisStore(parse_redis_uri(redis_uri(kind)), clock=clock) as store:
            yield store

    return open_redis


# A store that is new to the package gets a line here, and with it the whole suite.
STORES: dict[str, OpenStore] = {
    "memory": open_memory,
    "bounded memory": open_bounded_memory,
    "shared memory": open_shared_memory,
    "sqlite": open_sqlite,
    "redis": on_redis("valkey"),
    **{f"redis, {kind}": on_redis(kind) for kind in KINDS[1:] if IS_COMPLETE},
}


def served(open_store: OpenStore) -> OpenStore:
    """Open a store of this kind, behind a port."""

    @asynccontextmanager
    async def open_served(directory: Path, clock: Clock) -> AsyncIterator[Store]:
        options = ServerOptions(port=0, max_payload=LARGE)
        async with (
            open_store(directory, clock) as store,
            NdbServer(Engine(store, persist_path=directory), options) as server,
            NdbClient.connect(server.uri, max_payload=LARGE) as client,
        ):
            yield ServedStore(client, server, store, directory)

    return open_served


LARGE = 4 * 1024 * 1024

_SERVED = ("memory", "sqlite", *(name for name in STORES if "redis" in name and IS_COMPLETE))

WAYS: dict[str, OpenStore] = {**STORES, **{f"{name}, served": served(STORES[name]) for name in _SERVED}}
"""Each store in this process, and one of each sort (that answers at once, that is waited for) through the server."""


def also_slowly(names: Iterable[str]) -> list[Any]:
    """Return parameters of these names: tests on a Redis are slow tests, but for the contract's own."""
    return [pytest.param(name, marks=pytest.mark.slow if "redis" in name else ()) for name in names]


@pytest.fixture(params=WAYS)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Store]:
    """An empty store."""
    async with WAYS[request.param](tmp_path, clock) as store:
        yield store


@pytest.fixture(params=["shared", "session"])
async def scope(request: pytest.FixtureRequest, store: Store) -> Scope:
    """An empty map of keys: the one that all share, and that of a session that never expires."""
    if request.param == "shared":
        return SHARED
    assert await store.create(TOKEN, NEVER)
    return TOKEN
