"""What the tests of lookups share."""

from __future__ import annotations

import pytest

from ndb_models import NdbClient, Repository
from tests.lookup.models import Login, Visit
from tests.lookup.truth import Scene


@pytest.fixture
def logins(client: NdbClient) -> Repository[Login]:
    return Repository(client, Login)


@pytest.fixture
def visits(client: NdbClient) -> Repository[Visit]:
    return Repository(client, Visit)


@pytest.fixture
def scene() -> Scene:
    return Scene()
