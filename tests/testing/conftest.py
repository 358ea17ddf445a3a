"""A clock, and a client by each way to a store of this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.testing import MovableClock, RunningServer, open_client


@pytest.fixture
def time() -> Iterator[MovableClock]:
    with MovableClock() as clock:
        yield clock


@pytest.fixture(params=["memory", "sqlite", "served", "sqlite, served"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NdbClient]:
    """An open client of an empty store, which was opened on no loop of the test."""
    kind = request.param
    store = f"sqlite:///{tmp_path}/sessions.db" if "sqlite" in kind else "memory://"
    if "served" in kind:
        with RunningServer(store) as server, open_client(server.uri) as client:
            yield client
    else:
        with open_client(store) as client:
            yield client
