"""Each way to reach an engine, for tests that have no event loop: a server runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from ndb_models.sync import SyncClient
from tests.nemesisdb import NemesisDbEngine


@contextmanager
def running(engine: Engine) -> Iterator[str]:
    """Run a server in a thread; yield its URI."""
    started: list[str] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        async with NdbServer(engine, ServerOptions(port=0, max_payload=8192)) as server:
            started.append(server.uri)
            ready.set()
            await stopping.wait()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        thread = threading.Thread(target=runner.run, args=(serve(),))
        thread.start()
        assert ready.wait(60)
        try:
            yield started[0]
        finally:
            loop.call_soon_threadsafe(stopping.set)
            thread.join(60)


@pytest.fixture
def server_uri(tmp_path: Path) -> Iterator[str]:
    with running(Engine(MemoryStore(), persist_path=tmp_path)) as uri:
        yield uri


@pytest.fixture
def nemesisdb_uri(tmp_path: Path) -> Iterator[str]:
    """What answers as a stock NemesisDB does."""
    with running(NemesisDbEngine(MemoryStore(), persist_path=tmp_path)) as uri:
        yield uri


@pytest.fixture(params=["memory", "sqlite", "server"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each way to reach an empty engine."""
    if request.param == "memory":
        return f"memory://?persist_path={tmp_path}"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}?persist_path={tmp_path}"
    uri: str = request.getfixturevalue("server_uri")
    return uri


@pytest.fixture
def client(uri: str) -> Iterator[SyncClient]:
    with SyncClient.connect(uri) as client:
        yield client
