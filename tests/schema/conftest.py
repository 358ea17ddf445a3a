"""The tests of schemas run in memory and through a server: what a model becomes is the same to every store."""

from __future__ import annotations

import pytest

from ndb_models.server import NdbServer


@pytest.fixture(params=["memory", "server"])
def uri(request: pytest.FixtureRequest) -> str:
    """Each way to reach an empty engine, but the slowest."""
    if request.param == "memory":
        return "memory://"
    server: NdbServer = request.getfixturevalue("server")
    return server.uri
