"""The stores that commands are run on."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.cli.running import Place
from tests.redis_uris import redis_uri


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("NDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture(autouse=True)
def _work_is_quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep progress quiet, however slow the machine is: a command writes nothing but what it has to say."""
    if request.path.name != "test_progress.py":
        monkeypatch.setattr("ndb_models.cli.progress.QUIET_SECONDS", math.inf)


@pytest.fixture(params=["sqlite", "server", pytest.param("redis", marks=pytest.mark.slow)])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Place]:
    """Each kind of store: a file, a server, and a Valkey."""
    if request.param == "server":
        engine = Engine(MemoryStore())
        async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
            yield Place(server.uri, client, capsys)
        return
    uri = redis_uri("valkey") if request.param == "redis" else f"sqlite:///{tmp_path / 'sessions.db'}"
    async with NdbClient.connect(uri) as client:
        yield Place(uri, client, capsys)
