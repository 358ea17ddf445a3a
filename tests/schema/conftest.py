"""The tests of schemas run in memory and through a server: what a model becomes is the same to every store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore


@pytest.fixture
async def server() -> AsyncIterator[NdbServer]:
    """A server that takes any model that a test thinks of, however large."""
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server:
        yield server


@pytest.fixture(params=["memory", "server"])
def uri(request: pytest.FixtureRequest) -> str:
    """Each way to reach an empty engine, but the slowest."""
    if request.param == "memory":
        return "memory://"
    server: NdbServer = request.getfixturevalue("server")
    return server.uri
