"""What the tests of repositories share: one by each way to reach an engine, and a server on a clock of the test's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models import NdbClient, Repository
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.repository.models import User
from tests.repository.recording import RecordingEngine
from tests.repository.session_world import EngineClient
from tests.stores.conftest import STORES, also_slowly


@pytest.fixture
def users(client: NdbClient) -> Repository[User]:
    return Repository(client, User)


@pytest.fixture
def engine(clock: VirtualClock) -> RecordingEngine:
    """An engine that is watched, and whose time stands still until the test moves it."""
    return RecordingEngine(MemoryStore(clock=clock))


@pytest.fixture
async def timed(engine: RecordingEngine) -> AsyncIterator[NdbClient]:
    """A client of `engine`, through a server."""
    server = NdbServer(engine, ServerOptions(port=0))
    async with server, NdbClient.connect(server.uri) as client:
        yield client


@pytest.fixture
def watched(timed: NdbClient, clock: VirtualClock) -> Repository[User]:
    """A repository on `engine`, on the same clock."""
    return Repository(timed, User, clock=clock)


@pytest.fixture(params=also_slowly(STORES))
async def on_store(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[NdbClient]:
    """A client of an engine on each store, on the test's clock."""
    async with STORES[request.param](tmp_path, clock) as store:
        yield EngineClient(Engine(store))
