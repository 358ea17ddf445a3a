"""The pytest plugin of ndb_models: fixtures for tests of applications with sessions. See docs/testing.md.

pytest imports the plugins of all installed packages at each start. So this module stands beside the package, and
imports it when a test first uses a fixture. Runs without these fixtures do not wait for the package. Coverage that is
started by another plugin measures the whole package.

No fixture is a coroutine. So they work with every plugin for asynchronous tests, on every event loop, and without one.
pytest need not rewrite assertions here, there are none: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from ndb_models import NdbClient
    from ndb_models.testing import MovableClock, RunningServer

_KINDS: Final = ("memory", "sqlite", "served")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting `ndb_kind`."""
    parser.addini("ndb_kind", "where ndb_client and ndb_uri store sessions: memory, sqlite or served", default="memory")


@contextmanager
def _readable(fixture: str) -> Generator[None]:
    """Report an error of a fixture in one line, without a traceback through the package."""
    from ndb_models import NdbError

    try:
        yield
    except (NdbError, OSError) as exc:
        pytest.fail(f"{fixture}: {exc}", pytrace=False)


@pytest.fixture
def ndb_kind(request: pytest.FixtureRequest) -> str:
    """Where `ndb_client` and `ndb_uri` store sessions: "memory", "sqlite" or "served".

    The setting `ndb_kind` is the default. Override it by a fixture of this name, or by
    `@pytest.mark.parametrize("ndb_kind", [...])`.
    """
    return str(request.config.getini("ndb_kind"))


@pytest.fixture
def ndb_uri(ndb_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of this test's own, empty store. `ndb_client` and all other clients of this process share it."""
    match ndb_kind:
        case "memory":
            from ndb_models.client.in_process import forget_memory

            name = f"test-{uuid4()}"
            yield f"memory://{name}"
            forget_memory(name)
        case "sqlite":
            file = tmp_path_factory.mktemp("ndb") / "sessions.db"
            yield f"sqlite:///{quote(file.as_posix())}?synchronous=normal"
        case "served":
            server: RunningServer = request.getfixturevalue("ndb_server")
            yield server.uri
        case _:
            pytest.fail(f"ndb_kind is {ndb_kind!r}: there are {', '.join(_KINDS)}", pytrace=False)


@pytest.fixture
def ndb_client(ndb_uri: str) -> Iterator[NdbClient]:
    """An open client of this test's own, empty store. It works on any event loop, also with `asyncio.run`."""
    from ndb_models.testing import open_client

    with _readable("ndb_client"), open_client(ndb_uri) as client:
        yield client


@pytest.fixture
def ndb_server() -> Iterator[RunningServer]:
    """A server of this test's own, in a thread of this process: `uri`, `connect()`, `stop()`, `start()`.

    Its store is in memory, and empty.
    """
    from ndb_models.testing import RunningServer

    with _readable("ndb_server"), RunningServer() as server:
        yield server


@pytest.fixture
def ndb_clock() -> Iterator[MovableClock]:
    """The time of all sessions of this process: it stands still until `ndb_clock.advance(timedelta(minutes=30))`."""
    from ndb_models.testing import MovableClock

    with _readable("ndb_clock"), MovableClock() as clock:
        yield clock


@pytest.fixture
def assert_round_trips() -> Callable[..., None]:
    """`ndb_models.testing.assert_round_trips`: checks that models come back from a store as they were saved."""
    from ndb_models.testing import assert_round_trips

    return assert_round_trips
