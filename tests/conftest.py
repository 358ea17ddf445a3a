"""Fixtures for every way to reach an engine: in this process, and through the server on a port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore


class VirtualClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NdbServer]:
    """A server on a free port, with a persist path and NemesisDB's largest maximum payload."""
    engine = Engine(MemoryStore(), persist_path=tmp_path)
    async with NdbServer(engine, ServerOptions(port=0, max_payload=8192)) as server:
        yield server


@pytest.fixture(params=["memory", "server"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NdbClient]:
    """An open client of an empty engine, by each way to reach one."""
    in_memory = request.param == "memory"
    uri = f"memory://?persist_path={tmp_path}" if in_memory else request.getfixturevalue("server").uri
    async with NdbClient.connect(uri) as client:
        yield client
