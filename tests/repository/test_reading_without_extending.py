"""Looking at a session without keeping it alive: by whoever asks for that, and by all that is upkeep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from ndb_models import Expiry, JsonValue, NdbClient, Repository, SessionModel, UnsupportedError
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from tests.conftest import VirtualClock
from tests.repository.expiring import READS, Login, declared, timer
from tests.repository.recording import RecordingEngine

Idle = declared(Expiry(idle=60))
Rotated = declared(Expiry(idle=60), version=2)


async def left(client: NdbClient, tkn: int) -> int:
    await asyncio.sleep(0)  # what is not waited for is under way
    expiry = await timer(client, tkn)
    assert expiry is not None
    return int(expiry["remaining"])


@pytest.fixture
async def nemesisdb(engine: RecordingEngine) -> AsyncIterator[NdbClient]:
    """A client of a server that knows no command beyond NemesisDB's protocol."""
    engine.like_nemesisdb = True
    async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
        yield client


@pytest.mark.parametrize("verb", READS)
async def test_a_read_extends_only_if_it_is_to(on_store: NdbClient, clock: VirtualClock, verb: str) -> None:
    repo = Repository(on_store, Idle, clock=clock)
    session = await repo.save(Idle(note="n"))
    clock.move(20)
    looked = await READS[verb](repo, session.tkn, extend=False)
    assert await left(on_store, session.tkn) == 40
    assert await READS[verb](repo, session.tkn) == looked
    assert await left(on_store, session.tkn) == 60


@pytest.mark.parametrize("verb", READS)
async def test_a_session_of_an_older_version_is_looked_at_without_extending_it_too(
    on_store: NdbClient, clock: VirtualClock, verb: str
) -> None:
    session = await Repository(on_store, Idle, clock=clock).save(Idle(note="n"))
    clock.move(20)
    await READS[verb](Repository(on_store, Rotated, clock=clock), session.tkn, extend=False)
    assert await left(on_store, session.tkn) == 40


async def test_refreshing_and_raw_extend_only_if_they_are_to(on_store: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(on_store, Idle, clock=clock)
    session = await repo.save(Idle(note="n"))
    clock.move(20)
    assert (await repo.refresh(session, extend=False)).note == "n"
    assert set(await repo.raw(session.tkn, extend=False)) == {"user", "note", "__ndb__"}
    assert await left(on_store, session.tkn) == 40
    await repo.raw(session.tkn)
    assert await left(on_store, session.tkn) == 60
    clock.move(20)
    await repo.refresh(session)
    assert await left(on_store, session.tkn) == 60


UPKEEP: dict[str, Callable[[Repository[Login], Login], Awaitable[object]]] = {
    "ttl": lambda repo, session: repo.ttl(session),
    "ttl by token": lambda repo, session: repo.ttl(session.tkn),
    "reindex": lambda repo, _session: repo.reindex(),
    "reindex tokens": lambda repo, session: repo.reindex([session.tkn]),
    "find others": lambda repo, _session: repo.find(user="somebody else"),
    "end others": lambda repo, session: repo.end_all_for(user="billy", but=session),
}


@pytest.mark.parametrize("verb", UPKEEP)
@pytest.mark.parametrize("absolute", [None, 600])
async def test_upkeep_extends_nothing(
    on_store: NdbClient, clock: VirtualClock, verb: str, absolute: int | None
) -> None:
    model = declared(Expiry(idle=60, absolute=absolute))
    repo = Repository(on_store, model, clock=clock)
    session = await repo.save(model())
    clock.move(20)
    await UPKEEP[verb](repo, session)
    assert await left(on_store, session.tkn) == 40


async def test_finding_extends_those_that_are_returned_and_no_others(on_store: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(on_store, Idle, clock=clock)
    ours, moved = await repo.save(Idle()), await repo.save(Idle())
    await on_store.sh_set({"user": "another"}, moved.tkn)  # so that the index lists it in vain
    clock.move(20)
    assert [session.tkn for session in await repo.find(user="billy")] == [ours.tkn]
    assert [await left(on_store, tkn) for tkn in (ours.tkn, moved.tkn)] == [60, 40]
    assert await repo.find(user="billy", extend=False) == [ours]


@pytest.mark.parametrize("on", ["read", "write", "both"])
async def test_finding_extends_as_the_sessions_own_expiry_says(
    on_store: NdbClient, clock: VirtualClock, on: Any
) -> None:
    never = declared(None)
    repo = Repository(on_store, never, clock=clock)
    session = await repo.create(never(), expiry=Expiry(idle=60, on=on))
    clock.move(20)
    await repo.find(user="billy")
    assert await left(on_store, session.tkn) == (40 if on == "write" else 60)


@pytest.mark.parametrize("verb", READS)
async def test_a_nemesisdb_refuses_to_look_without_extending(
    nemesisdb: NdbClient, engine: RecordingEngine, clock: VirtualClock, verb: str
) -> None:
    repo = Repository(nemesisdb, Idle, clock=clock)
    session = await repo.save(Idle())
    clock.move(20)
    for _ in range(2):
        with pytest.raises(UnsupportedError, match="SH_PEEK") as caught:
            await READS[verb](repo, session.tkn, extend=False)
        assert caught.value.what == "extend=False"
    assert await left(nemesisdb, session.tkn) == 40
    assert engine.commands().count("SH_PEEK") <= 1


async def test_on_a_nemesisdb_everything_else_goes_on(nemesisdb: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(nemesisdb, Idle, clock=clock)
    session = await repo.save(Idle())
    clock.move(20)
    for use in UPKEEP.values():
        await use(repo, session)
    await repo.rotate(session)
    assert await repo.find(user="billy") == [session]
    assert await repo.delete(session.tkn)


async def test_an_upgrade_is_not_written_back_by_a_read_that_extends_nothing(client: NdbClient) -> None:
    class Old(SessionModel, schema="rewritten"):
        name: str = ""

    class New(SessionModel, schema="rewritten", version=2):
        name: str = ""

    @New.upgrade(1)
    def unchanged(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return keys

    session = await Repository(client, Old).save(Old(name="billy"))
    repo = Repository(client, New, rewrite=True)
    await repo.get(session.tkn, extend=False)
    assert '"version":1' in (await repo.raw(session.tkn))["__ndb__"]
    await repo.get(session.tkn)
    assert '"version":2' in (await repo.raw(session.tkn))["__ndb__"]
