"""Finding a few sessions, and keeping only the newest few of a value."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Annotated, Any, Final

import pytest

from ndb_models import InvalidArgumentError, Lookup, NdbClient, Repository, SessionModel
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.repository.recording import RecordingEngine


class Device(SessionModel, schema="limited-device"):
    user: Annotated[int, Lookup(limit=3)]
    name: str = ""


class Visit(SessionModel, schema="limited-visit"):
    user: Annotated[int, Lookup()]
    name: str = ""


async def names(repo: Repository[Any], **wanted: Any) -> list[str]:
    return [each.name for each in await repo.find(user=7, **wanted)]


async def test_so_many_are_found_from_either_end(client: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(client, Visit, clock=clock)
    visits = [await repo.save(Visit(user=7, name=name)) for name in "a"]
    for name in "bcde":
        clock.move(1)
        visits.append(await repo.save(Visit(user=7, name=name)))
    assert await names(repo, limit=2) == ["a", "b"]
    assert await names(repo, limit=2, order="newest") == ["e", "d"]
    assert await names(repo, order="newest") == ["e", "d", "c", "b", "a"]
    assert await names(repo, limit=9) == ["a", "b", "c", "d", "e"]
    for gone in (0, 1, 4):
        await client.sh_end(visits[gone].tkn)  # their entries stay
    assert await names(repo, limit=1) == ["c"]
    assert await names(repo, limit=2, order="newest") == ["d", "c"]


@pytest.mark.parametrize("wanted", [{"limit": 0}, {"limit": True}, {"limit": "2"}, {"order": "name"}])
async def test_other_limits_and_orders_are_refused(client: NdbClient, wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wanted))):
        await Repository(client, Visit).find(user=7, **wanted)


@pytest.mark.parametrize("wrong", [0, -1, True, "5", 1.5])
def test_a_limit_of_sessions_is_a_number_from_one(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="limit"):
        Lookup(limit=wrong)
    with pytest.raises(InvalidArgumentError, match="unique"):
        Lookup(unique=True, limit=2)


async def test_the_oldest_session_of_a_user_is_ended_when_there_is_one_too_many(
    client: NdbClient, clock: VirtualClock
) -> None:
    repo = Repository(client, Device, clock=clock)
    first = await repo.save(Device(user=7, name="a"))
    other = await repo.save(Device(user=8, name="other"))
    for name in "bcd":
        clock.move(1)
        await repo.save(Device(user=7, name=name))
    assert await names(repo) == ["b", "c", "d"]
    assert not await repo.exists(first.tkn)
    clock.move(1)
    other.user = 7
    await repo.save(other)
    assert await names(repo) == ["c", "d", "other"]
    other.name = "renamed"
    await repo.save(other)
    assert await names(repo) == ["c", "d", "renamed"]


async def test_many_at_once_leave_no_more_than_allowed(client: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(client, Device, clock=clock)
    await asyncio.gather(*(repo.save(Device(user=7, name=f"{number}")) for number in range(20)))
    assert len(await names(repo)) == 3


@pytest.mark.parametrize("verb", ["save", "update", "edit", "mutate"])
async def test_every_verb_that_gives_a_session_the_value_ends_the_oldest(
    client: NdbClient, clock: VirtualClock, verb: str
) -> None:
    repo = Repository(client, Device, clock=clock)
    for name in "abc":
        await repo.save(Device(user=7, name=name))
        clock.move(1)
    late = await repo.save(Device(user=8, name="late"))
    match verb:
        case "save":
            late.user = 7
            await repo.save(late)
        case "update":
            await repo.update(late.tkn, user=7)
        case "edit":
            async with repo.edit(late.tkn) as device:
                device.user = 7
        case _:
            await repo.mutate(late.tkn, lambda device: setattr(device, "user", 7))
    assert await names(repo) == ["b", "c", "late"]


async def test_a_creation_that_newer_ones_overtake_is_not_refused(clock: VirtualClock) -> None:
    engine = RecordingEngine(MemoryStore())
    async with (
        NdbServer(engine, ServerOptions(port=0)) as server,
        NdbClient.connect(server.uri) as slow,
        NdbClient.connect(server.uri) as client,
    ):
        engine.hold("SH_SET")
        old = Repository(slow, Device, clock=clock)
        overtaken = asyncio.create_task(old.create(Device(user=7, name="overtaken")))
        await engine.waiting.wait()
        engine.hold()  # it still waits; others do not
        repo = Repository(client, Device, clock=clock)
        for name in "abcd":
            clock.move(1)  # entries of one millisecond are in no order
            await repo.create(Device(user=7, name=name))
        engine.release()
        assert (await overtaken).name == "overtaken"
        assert await names(repo) == ["b", "c", "d"]


OTHER_PROCESS: Final = """
import asyncio, sys
from tests.lookup.test_limits import Device
from ndb_models import NdbClient, Repository

async def main():
    async with NdbClient.connect(sys.argv[1]) as client:
        repo = Repository(client, Device)
        await asyncio.gather(*(repo.save(Device(user=7, name=sys.argv[2])) for _ in range(10)))
        for _ in range(10):
            await repo.save(Device(user=7, name=sys.argv[2]))

asyncio.run(main())
"""


@pytest.mark.slow
async def test_of_two_processes_that_log_in_at_once_no_more_sessions_stay_than_allowed(uri: str) -> None:
    if uri.startswith("memory://"):
        pytest.skip("a store in memory is of one process")
    command = [sys.executable, "-c", OTHER_PROCESS, uri]
    processes = [await asyncio.create_subprocess_exec(*command, name, stderr=subprocess.PIPE) for name in "ab"]
    for process in processes:
        _, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors.decode()
    async with NdbClient.connect(uri) as client:
        assert len(await names(Repository(client, Device))) == 3
