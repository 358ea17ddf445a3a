"""Drivers on every kind of server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from secrets import token_hex
from typing import TYPE_CHECKING, TypeAlias

import pytest

pytest.importorskip("hiredis")

from ndb_models.stores.redis.driver import Driver
from ndb_models.stores.redis.options import parse_redis_uri

if TYPE_CHECKING:
    from tests.redis_servers import Shared

OpenDriver: TypeAlias = Callable[[str], AbstractAsyncContextManager[Driver]]


@asynccontextmanager
async def opened(uri: str) -> AsyncIterator[Driver]:
    """Open a driver, and close it at the end."""
    driver = Driver(parse_redis_uri(uri))
    try:
        await driver.open()
        yield driver
    finally:
        await driver.aclose()


@pytest.fixture(params=["valkey", "redis 7", "redis 6", "cluster"])
def uri(request: pytest.FixtureRequest, redis_servers: Shared) -> str:
    """The URI of each kind of server, and of a cluster."""
    if request.param == "cluster":
        return redis_servers.cluster["valkey"]
    if request.param not in redis_servers.single:
        pytest.skip(f"there is no {request.param} here")
    return redis_servers.single[request.param]


@pytest.fixture
async def driver(uri: str) -> AsyncIterator[Driver]:
    async with opened(uri) as driver:
        yield driver


@pytest.fixture
def key() -> bytes:
    """A key that no other test has."""
    return b"test:{%s}" % token_hex(8).encode()
