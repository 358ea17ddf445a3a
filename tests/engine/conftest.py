"""An engine in memory, or on each store, a clock that the test moves, and a persist path that nothing else uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.engine.asking import Asker
from tests.stores.conftest import STORES, also_slowly


@pytest.fixture
def persist_path(tmp_path: Path) -> Path:
    path = tmp_path / "persist"
    path.mkdir()
    return path


@pytest.fixture
def ask(clock: VirtualClock, persist_path: Path) -> Asker:
    """Asks an engine that has nothing stored."""
    return Asker(Engine(MemoryStore(clock=clock), persist_path=persist_path))


@pytest.fixture(params=also_slowly(STORES))
async def ask_any(
    request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock, persist_path: Path
) -> AsyncIterator[Asker]:
    """Asks an engine on each store."""
    async with STORES[request.param](tmp_path, clock) as store:
        yield Asker(Engine(store, persist_path=persist_path))
