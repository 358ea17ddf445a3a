"""Waiting for the end of a session, whoever ends it: told within the polling time, and never for another reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ndb_models import (
    Expiry,
    ForeignSessionError,
    InvalidArgumentError,
    NdbClient,
    NotConnectedError,
    NotSavedError,
    Repository,
    SessionEnd,
    SessionModel,
    WrongSchemaError,
)
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.configuration.stepping import Time
from tests.free_ports import free_port
from tests.repository.listening import Listener
from tests.repository.models import Otp
from tests.repository.recording import RecordingEngine
from tests.repository.session_world import EngineClient
from tests.stores.conftest import STORES

GUARD = 60


class Idle(SessionModel, schema="watched", expiry=Expiry(idle=60)):
    name: str = ""


class Lasting(SessionModel, schema="watched-lasting", expiry=Expiry(idle=10**6)):
    """Time passes quickly in tests where a client connects again, which takes real time."""


class Both(SessionModel, schema="watched-both", expiry=Expiry(idle=60, absolute=100)):
    name: str = ""


class Absolute(SessionModel, schema="watched-absolute", expiry=Expiry(absolute=100)):
    name: str = ""


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def engine(time: Time) -> RecordingEngine:
    return RecordingEngine(MemoryStore(clock=time))


@pytest.fixture(params=["memory", "sqlite", "server", "nemesisdb"])
async def everywhere(
    request: pytest.FixtureRequest, tmp_path: Path, time: Time, engine: RecordingEngine
) -> AsyncIterator[NdbClient]:
    """A client of an engine whose time stands still, by each way to reach one, and of a stock NemesisDB."""
    async with asyncio.timeout(GUARD):
        if request.param in ("server", "nemesisdb"):
            engine.like_nemesisdb = request.param == "nemesisdb"
            async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
                yield client
        else:
            async with STORES[request.param](tmp_path, time) as store:
                yield EngineClient(RecordingEngine(store))


@pytest.fixture
async def recorded(time: Time, engine: RecordingEngine) -> AsyncIterator[NdbClient]:
    """A client of `engine`, through a server that takes no more than a NemesisDB does by default."""
    options = ServerOptions(port=0, max_payload=1024)
    async with (
        asyncio.timeout(GUARD),
        NdbServer(engine, options) as server,
        NdbClient.connect(server.uri, max_payload=1024) as client,
    ):
        yield client


class Watch:
    """A call of `ended`, in a task of its own."""

    def __init__(self, ending: Awaitable[SessionEnd], time: Time) -> None:
        self._time = time
        self.task = asyncio.ensure_future(ending)

    async def ready(self) -> None:
        """Wait until it waits for the next look, or is over."""
        asleep = asyncio.ensure_future(self._time.asleep())
        await asyncio.wait((asleep, self.task), return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()
        for _ in range(5):  # the end is on its way to the task
            await asyncio.sleep(0)
        if self.task.done():
            self.task.result()

    async def pass_time(self, seconds: float) -> SessionEnd | None:
        """Let so many seconds pass, one by one. Return the end, if it is told by then."""
        for _ in range(int(seconds)):
            await self.ready()
            if self.task.done():
                return self.task.result()
            self._time.move(1)
        await self.ready()
        return self.task.result() if self.task.done() else None


@asynccontextmanager
async def watching(repo: Repository[Any], time: Time, *sessions: Any, poll: float = 1.0) -> AsyncIterator[Watch]:
    watch = Watch(repo.ended(*sessions, poll=poll, clock=time, sleep=time.sleep), time)
    try:
        async with asyncio.timeout(GUARD):
            await watch.ready()
            yield watch
    finally:
        watch.task.cancel()
        await asyncio.wait([watch.task])


async def test_the_end_by_idle_time_is_told_within_the_polling_time_and_not_put_off_by_watching(
    everywhere: NdbClient, time: Time
) -> None:
    repo = Repository(everywhere, Idle, clock=time)
    session = await repo.save(Idle())
    async with watching(repo, time, session.tkn) as watch:
        assert await watch.pass_time(59) is None
        assert await watch.pass_time(1) == SessionEnd(session.tkn, "idle")


async def test_a_session_that_is_used_lives_on_and_is_told_when_it_is_used_no_more(
    everywhere: NdbClient, time: Time
) -> None:
    repo = Repository(everywhere, Idle, clock=time)
    session = await repo.save(Idle())
    async with watching(repo, time, session) as watch:
        for _ in range(3):
            assert await watch.pass_time(50) is None
            await repo.touch(session.tkn)
        assert await watch.pass_time(59) is None
        assert await watch.pass_time(1) == SessionEnd(session.tkn, "idle")


@pytest.mark.parametrize("model", [Both, Absolute])
async def test_the_absolute_end_is_told_also_if_the_session_is_in_use(
    everywhere: NdbClient, time: Time, model: type[Both | Absolute]
) -> None:
    repo = Repository(everywhere, model, clock=time)
    session = await repo.save(model())
    listener = Listener(repo)
    async with watching(repo, time, session) as watch:
        for _ in range(3):
            assert await watch.pass_time(33) is None
            await everywhere.sh_set({}, session.tkn)
        assert await watch.pass_time(1) == SessionEnd(session.tkn, "absolute")
    assert listener.told() == [("ended", session.tkn, "absolute")]
    assert await everywhere.sh_session_exists([session.tkn]) == []


async def test_an_end_by_another_process_is_told_at_the_next_look(everywhere: NdbClient, time: Time) -> None:
    repo, elsewhere = Repository(everywhere, Idle, clock=time), Repository(everywhere, Idle, clock=time)
    for end in (lambda session: elsewhere.delete(session.tkn), elsewhere.rotate):
        session = await repo.save(Idle())
        old, listener = session.tkn, Listener(repo)
        async with watching(repo, time, old) as watch:
            assert await watch.pass_time(3) is None
            await end(session)
            assert await watch.pass_time(1) == SessionEnd(old, "deleted")
        assert listener.told() == []  # it was no act of this repository


async def test_an_end_by_this_repository_is_told_at_once_and_exactly(everywhere: NdbClient, time: Time) -> None:
    repo = Repository(everywhere, Idle, clock=time)
    session = await repo.save(Idle())
    old = session.tkn
    async with watching(repo, time, session) as watch:
        await repo.rotate(session)
        assert await watch.task == SessionEnd(old, "replaced", session.tkn)
    async with watching(repo, time, session) as watch:
        await repo.delete(session.tkn)
        assert await watch.task == SessionEnd(session.tkn, "deleted")


async def test_renewing_changing_and_extending_are_no_end(client: NdbClient, time: Time) -> None:
    repo = Repository(client, Idle)
    session = await repo.save(Idle())
    async with watching(repo, time, session) as watch:
        await repo.issue(session)
        await repo.renew(session)
        await repo.update(session.tkn, name="billy")
        await repo.expire(session, Expiry(idle=timedelta(days=1)))
        await repo.expire(session, None)
        assert await watch.pass_time(3) is None


@pytest.mark.parametrize("poll", [0.5, 7])
async def test_a_session_that_is_gone_from_the_beginning_is_told_at_once(
    everywhere: NdbClient, time: Time, poll: float
) -> None:
    repo = Repository(everywhere, Idle, clock=time)
    session = await repo.save(Idle())
    await repo.delete(session.tkn)
    listener = Listener(repo)
    end = await repo.ended(session.tkn, poll=poll, clock=time, sleep=time.sleep)
    assert (end, time.pauses, listener.told()) == (SessionEnd(session.tkn, "unknown"), [], [])


async def test_a_session_past_its_deadline_from_the_beginning_is_told_at_once(
    everywhere: NdbClient, time: Time
) -> None:
    repo = Repository(everywhere, Both, clock=time)
    session = await repo.save(Both())
    for _ in range(2):
        time.move(50)
        await everywhere.sh_set({}, session.tkn)
    assert await repo.ended(session, clock=time, sleep=time.sleep) == SessionEnd(session.tkn, "absolute")
    assert await everywhere.sh_session_exists([session.tkn]) == []


async def test_of_several_sessions_the_first_end_is_told(client: NdbClient, time: Time) -> None:
    repo, elsewhere = Repository(client, Idle), Repository(client, Idle)
    sessions = [await repo.save(Idle()) for _ in range(3)]
    async with watching(repo, time, sessions[0], sessions[1].tkn, sessions[2]) as watch:
        await elsewhere.delete(sessions[1].tkn)
        assert await watch.pass_time(1) == SessionEnd(sessions[1].tkn, "deleted")


async def test_an_idle_end_is_told_to_the_hooks_once_however_many_watch(everywhere: NdbClient, time: Time) -> None:
    repo = Repository(everywhere, Idle, clock=time)
    session = await repo.save(Idle())
    listener = Listener(repo)
    async with (
        watching(repo, time, session) as first,
        watching(repo, time, session) as second,
        watching(repo, time, session, poll=2.5) as third,
    ):
        for _ in range(60):
            await time.asleep(2)  # two polls, one for each interval
            time.move(1)
        ends = await asyncio.gather(first.task, second.task, third.task)
    assert {*ends} == {SessionEnd(session.tkn, "idle")}
    assert listener.told() == [("ended", session.tkn, "idle")]


async def test_a_hook_that_fails_does_not_end_the_watch_of_other_sessions(everywhere: NdbClient, time: Time) -> None:
    repo = Repository(everywhere, Idle, clock=time)
    first = await repo.save(Idle())
    time.move(10)
    second = await repo.save(Idle())

    @repo.on_ended
    def fail(_: SessionEnd) -> None:
        raise asyncio.CancelledError

    async with watching(repo, time, first) as watch, watching(repo, time, second) as other:
        assert await watch.pass_time(50) == SessionEnd(first.tkn, "idle")
        assert await other.pass_time(10) == SessionEnd(second.tkn, "idle")


async def test_one_frame_asks_for_all_that_are_watched(
    recorded: NdbClient, engine: RecordingEngine, time: Time
) -> None:
    repo, elsewhere = Repository(recorded, Idle, clock=time), Repository(recorded, Idle, clock=time)
    sessions = [session for session in await repo.save_many(Idle() for _ in range(120)) if isinstance(session, Idle)]
    tasks = [
        asyncio.ensure_future(repo.ended(session, clock=time, sleep=time.sleep)) for session in (*sessions, *sessions)
    ]
    await time.asleep()
    while {*engine.commands()} != {"SH_EXISTS"}:  # each session is looked at first
        time.move(1)
        await time.asleep()
    before = len(time.pauses)
    for _ in range(3):
        time.move(1)
        await time.asleep()
    assert engine.commands() == ["SH_EXISTS"] * 3 * 3  # 120 tokens do not fit into fewer frames of 1,024 bytes
    assert time.pauses[before:] == [1.0] * 3
    await elsewhere.delete_many([session.tkn for session in sessions])
    time.move(1)
    ends = await asyncio.gather(*tasks)
    assert {end.reason for end in ends} == {"deleted"}


async def test_a_new_watch_looks_at_its_own_session_only(
    recorded: NdbClient, engine: RecordingEngine, time: Time
) -> None:
    repo = Repository(recorded, Idle, clock=time)
    one, two = [await repo.save(Idle()) for _ in range(2)]
    async with watching(repo, time, one) as watch:
        assert await watch.pass_time(1) is None
        engine.requests()
        others = list[asyncio.Task[SessionEnd]]()
        for expected in (["SH_EXISTS", "SH_INFO", "SH_PEEK"], ["SH_EXISTS"]):
            others.append(asyncio.ensure_future(repo.ended(two, clock=time, sleep=time.sleep)))
            own = len(expected) - 1  # the last that looks asks for all
            while len(engine.frames) < own:  # noqa: ASYNC110 - the engine tells nobody
                await asyncio.sleep(0)
            await asyncio.sleep(0.02)  # it has its answers, or has joined the one before
            assert await watch.pass_time(1) is None
            assert sorted(engine.commands()) == expected
        await repo.delete(two.tkn)
        assert {*await asyncio.gather(*others)} == {SessionEnd(two.tkn, "deleted")}


async def test_watching_on_a_nemesisdb_reads_nothing_that_would_extend(
    recorded: NdbClient, engine: RecordingEngine, time: Time
) -> None:
    engine.like_nemesisdb = True
    repo = Repository(recorded, Both, clock=time)
    session = await repo.save(Both())
    engine.requests()
    async with watching(repo, time, session.tkn) as watch:
        assert await watch.pass_time(60) == SessionEnd(session.tkn, "idle")
    assert {*engine.commands()} <= {"SH_INFO", "SH_PEEK", "SH_EXISTS"}


async def test_a_deadline_that_is_moved_is_followed(client: NdbClient, time: Time) -> None:
    repo = Repository(EngineClient(RecordingEngine(MemoryStore(clock=time))), Both, clock=time)
    session = await repo.save(Both())
    async with watching(repo, time, session) as watch:
        await repo.expire(session.tkn, Expiry(idle=60, absolute=1000))
        for _ in range(4):
            assert await watch.pass_time(50) is None
            await repo.touch(session.tkn)
        assert await watch.pass_time(60) == SessionEnd(session.tkn, "idle")


async def test_a_store_that_is_away_is_waited_out_without_a_false_end(
    time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore(clock=time)
    port = free_port()
    server = NdbServer(RecordingEngine(store), ServerOptions(port=port))
    await server.start()
    async with asyncio.timeout(GUARD), NdbClient.connect(server.uri, connect_wait=0.05) as client:
        repo = Repository(client, Lasting, clock=time)
        session, other = await repo.save(Lasting()), await repo.save(Lasting())
        async with watching(repo, time, session) as watch:
            await server.stop()
            assert await watch.pass_time(3) is None
            late = asyncio.ensure_future(repo.ended(other, clock=time, sleep=time.sleep))  # begun in the outage
            assert await watch.pass_time(3) is None
            assert [record.levelname for record in caplog.records if "no answer" in record.message] == ["WARNING"]
            server = NdbServer(RecordingEngine(store), ServerOptions(port=port))
            await server.start()
            async with NdbClient.connect(server.uri) as elsewhere:
                for each in (other, session):
                    await elsewhere.sh_end(each.tkn)
            while not watch.task.done():
                await watch.pass_time(1)
            assert watch.task.result() == SessionEnd(session.tkn, "deleted")
            assert (await late).reason == "unknown"
            assert str(session.tkn) not in caplog.text
    await server.stop()


async def test_a_client_that_is_closed_ends_the_watch_with_an_error(everywhere: NdbClient, time: Time) -> None:
    repo = Repository(everywhere, Idle, clock=time)
    session = await repo.save(Idle())
    watch = Watch(repo.ended(session, clock=time, sleep=time.sleep), time)
    other = Watch(repo.ended(session, clock=time, sleep=time.sleep), time)
    await watch.ready()
    await everywhere.close()
    time.move(1)
    for each in (watch, other):
        with pytest.raises(NotConnectedError):
            await each.task


async def test_cancelled_watches_leave_no_task_and_ask_no_more(
    recorded: NdbClient, engine: RecordingEngine, time: Time
) -> None:
    repo = Repository(recorded, Idle, clock=time)
    sessions = [await repo.save(Idle()) for _ in range(3)]
    before = asyncio.all_tasks()
    watches = [asyncio.ensure_future(repo.ended(each, clock=time, sleep=time.sleep)) for each in sessions]
    await time.asleep()
    watches[0].cancel()
    await asyncio.wait([watches[0]])
    assert not watches[1].done()
    for watch in watches:
        watch.cancel()
    await asyncio.wait(watches)
    assert asyncio.all_tasks() == before
    engine.requests()
    time.move(10)
    await asyncio.sleep(0)
    assert engine.commands() == []
    async with watching(repo, time, sessions[0]) as again:  # it may be watched again
        await recorded.sh_end(sessions[0].tkn)
        assert await again.pass_time(1) is not None


async def test_what_cannot_be_watched_is_refused(client: NdbClient) -> None:
    repo = Repository(client, Idle)
    with pytest.raises(InvalidArgumentError, match="at least one"):
        await repo.ended()
    for poll in (0, -1, float("inf"), True):
        with pytest.raises(InvalidArgumentError, match="poll="):
            await repo.ended(5, poll=poll)
    with pytest.raises(InvalidArgumentError, match="token"):
        await repo.ended(-1)
    with pytest.raises(NotSavedError):
        await repo.ended(Idle())
    otp = await Repository(client, Otp).save(Otp(code=1))
    with pytest.raises(InvalidArgumentError):
        await repo.ended(otp)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(WrongSchemaError):
        await repo.ended(otp.tkn)
    foreign = await client.sh_create_session()
    await client.sh_set({"a": 1}, foreign.tkn)
    with pytest.raises(ForeignSessionError):
        await repo.ended(foreign.tkn)
