"""What the tests of configurations share: a repository by each way to reach an engine, and a watch in steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ndb_models import ConfigRepository, NdbClient
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.configuration.models import App
from tests.configuration.stepping import Time
from tests.repository.recording import RecordingEngine


@pytest.fixture
def config(client: NdbClient) -> ConfigRepository[App]:
    return ConfigRepository(client, App, namespace="app")


@pytest.fixture
def engine() -> RecordingEngine:
    return RecordingEngine(MemoryStore())


@pytest.fixture
async def recorded(engine: RecordingEngine) -> AsyncIterator[NdbClient]:
    """A client of `engine`, through a server that takes no more than a NemesisDB does by default."""
    server = NdbServer(engine, ServerOptions(port=0, max_payload=1024))
    async with asyncio.timeout(60), server, NdbClient.connect(server.uri, max_payload=1024) as client:
        yield client


@pytest.fixture
def time() -> Time:
    return Time()
