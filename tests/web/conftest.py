"""What the tests of web sessions share: stores, and the time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from ndb_models import NdbClient
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from ndb_models.testing import MovableClock
from ndb_models.web import WebSessions
from tests.repository.recording import RecordingEngine
from tests.web.applications import Shopper


@pytest.fixture
async def sessions() -> AsyncIterator[WebSessions[Shopper]]:
    """Sessions in a store in memory."""
    sessions = WebSessions("memory://", Shopper)
    async with sessions.lifespan():
        yield sessions


@pytest.fixture
def time() -> Iterator[MovableClock]:
    """The time of all sessions, which stands still until the test advances it."""
    with MovableClock() as clock:
        yield clock


@pytest.fixture
def engine() -> RecordingEngine:
    """An engine that is watched, and holds answers back when it is told to."""
    return RecordingEngine(MemoryStore())


@pytest.fixture
async def watched_server(engine: RecordingEngine) -> AsyncIterator[NdbServer]:
    """A server of `engine`."""
    async with NdbServer(engine, ServerOptions(port=0)) as server:
        yield server


@pytest.fixture
async def watched(watched_server: NdbServer) -> AsyncIterator[NdbClient]:
    """A client of `engine`, through a server."""
    async with NdbClient.connect(watched_server.uri) as client:
        yield client
