"""A server sweeps its store, and goes on when that fails once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ndb_models import NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore


class Unswept(MemoryStore):
    """Cannot be swept the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.sweeps = 0
        self.swept = asyncio.Event()

    async def sweep(self) -> None:
        self.sweeps += 1
        if self.sweeps == 1:
            raise OSError("no space left on device")
        self.swept.set()


async def test_a_failure_to_sweep_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = Unswept()
    with caplog.at_level(logging.ERROR):
        async with NdbServer(Engine(store), ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
            await asyncio.wait_for(store.swept.wait(), 60)
            assert await client.kv_count() == 0
    assert "sweeping failed" in caplog.text
