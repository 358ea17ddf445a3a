"""WebSockets that are bound to a session: closed with 4401 when it ends, and for no other reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ndb_models import Expiry, NdbClient, NotConnectedError, Repository, SessionModel
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from ndb_models.testing import MovableClock
from ndb_models.web import ChangedTooLateError, SessionMiddleware, WebSessions
from tests.free_ports import free_port
from tests.repository.recording import RecordingEngine
from tests.repository.session_world import EngineClient
from tests.web.sockets import Socket, settle, until

Endpoint = Callable[[WebSocket], Awaitable[None]]


class Visitor(SessionModel, schema="bound", expiry=Expiry(idle=60, absolute=100)):
    name: str = ""


class World:
    """An application whose sockets say what they hear, and a session."""

    def __init__(self, client: NdbClient) -> None:
        self.client = client
        self.sessions = WebSessions(client, Visitor)
        self.repo = self.sessions.repo
        self.ends: list[str] = []
        self.session = Visitor()
        self.cookie = ""

    async def log_in(self, name: str = "billy") -> str:
        self.session = await self.repo.save(Visitor(name=name))
        self.cookie = f"__Host-session={await self.repo.issue(self.session)!s}"
        return self.cookie

    async def echo(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            async with self.sessions.bound(websocket) as session:
                async for text in websocket.iter_text():
                    await websocket.send_text(f"{session.name}: {text}")
            self.ends.append("left")
        except BaseException as exc:
            self.ends.append(type(exc).__name__)
            raise

    def open(self, endpoint: Endpoint | None = None, **options: Any) -> Socket:
        app = Starlette(
            routes=[WebSocketRoute("/", endpoint or self.echo)],
            middleware=[Middleware(SessionMiddleware, sessions=self.sessions)],
        )
        options.setdefault("headers", {"cookie": self.cookie} if self.cookie else {})
        return Socket(app, **options)


@pytest.fixture
def clock() -> Iterator[MovableClock]:
    with MovableClock() as clock:
        yield clock


@pytest.fixture
def engine(clock: MovableClock) -> RecordingEngine:
    return RecordingEngine(MemoryStore(clock=clock))


@pytest.fixture
async def world(engine: RecordingEngine) -> AsyncIterator[World]:
    async with EngineClient(engine) as client:
        world = World(client)
        await world.log_in()
        yield world
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}  # no watch is left


async def elsewhere(engine: RecordingEngine) -> Repository[Visitor]:
    """Return a repository of another process."""
    return Repository(EngineClient(engine), Visitor)


async def test_a_socket_serves_while_its_session_lives(world: World) -> None:
    socket = world.open()
    socket.say("hello")
    await settle()
    assert socket.texts == ["billy: hello"]
    assert socket.code is None
    socket.leave()
    await socket.ended()
    assert world.ends == ["left"]


async def test_logging_out_here_closes_the_socket_at_once(world: World) -> None:
    socket = world.open()
    await settle()
    await world.repo.delete(world.session.tkn)
    await socket.ended()
    assert socket.code == 4401
    assert world.ends == ["left"]  # the end is no error
    assert socket.sent[-1]["reason"] == "the session has ended: deleted"


async def test_logging_out_elsewhere_closes_the_socket_within_the_polling_time(
    world: World, clock: MovableClock, engine: RecordingEngine
) -> None:
    socket = world.open()
    await settle()
    await (await elsewhere(engine)).delete(world.session.tkn)
    await settle()
    assert socket.code is None
    assert await socket.pass_time(clock, 1) == 4401
    await socket.ended()


async def test_an_idle_end_closes_the_socket(world: World, clock: MovableClock) -> None:
    socket = world.open()
    assert await socket.pass_time(clock, 59) is None
    assert await socket.pass_time(clock, 2) == 4401
    assert socket.sent[-1]["reason"] == "the session has ended: idle"
    await socket.ended()


async def test_a_session_in_use_keeps_its_socket_until_its_absolute_end(world: World, clock: MovableClock) -> None:
    socket = world.open()
    for _ in range(3):
        assert await socket.pass_time(clock, 33) is None
        await world.repo.touch(world.session.tkn)
    assert await socket.pass_time(clock, 2) == 4401
    assert socket.sent[-1]["reason"] == "the session has ended: absolute"
    await socket.ended()


async def test_a_renewed_session_keeps_its_socket(world: World, clock: MovableClock) -> None:
    socket = world.open()
    await settle()
    for _ in range(3):
        await world.repo.renew(world.session)
        assert await socket.pass_time(clock, 2) is None
    await world.repo.issue(world.session)
    assert await socket.pass_time(clock, 2) is None
    socket.leave()
    await socket.ended()


async def test_a_socket_without_a_session_is_accepted_and_closed_so_that_scripts_see_the_code(world: World) -> None:
    world.cookie = ""
    socket = world.open()
    await socket.ended()
    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]
    assert socket.code == 4401


@pytest.mark.parametrize("cookie", ["", "__Host-session=nonsense"])
@pytest.mark.parametrize("subprotocols", [(), ("graphql-ws", "other")])
async def test_a_socket_that_was_not_accepted_yet_is_too(
    world: World, cookie: str, subprotocols: tuple[str, ...]
) -> None:
    async def late(websocket: WebSocket) -> None:
        async with world.sessions.bound(websocket):
            world.ends.append("served")

    world.cookie = cookie
    socket = world.open(late, subprotocols=subprotocols)
    await socket.ended()
    assert socket.code == 4401
    assert socket.sent[0]["subprotocol"] == next(iter(subprotocols), None)
    assert world.ends == []


async def test_a_session_that_ends_before_the_socket_is_accepted_closes_it_all_the_same(world: World) -> None:
    async def late(websocket: WebSocket) -> None:
        async with world.sessions.bound(websocket):
            await asyncio.Event().wait()

    socket = world.open(late)
    await settle()
    assert socket.sent == []
    await world.repo.delete(world.session.tkn)
    await socket.ended()
    assert socket.code == 4401


async def test_a_client_that_leaves_first_ends_the_body_as_usual_and_is_watched_no_more(
    world: World, clock: MovableClock, engine: RecordingEngine
) -> None:
    async def hearing(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket):
            await websocket.receive_text()

    socket = world.open(hearing)
    await settle()
    socket.leave()
    with pytest.raises(WebSocketDisconnect):
        await socket.ended()
    assert socket.code is None
    engine.requests()
    clock.advance(5)
    await settle()
    assert engine.commands() == []


async def test_a_body_that_only_sends_is_cancelled_when_the_client_has_left(
    world: World, engine: RecordingEngine, clock: MovableClock
) -> None:
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket):
            await asyncio.Event().wait()
        world.ends.append("left")

    socket = world.open(feed)
    await settle()
    socket.leave()
    await socket.ended()
    assert world.ends == ["left"]
    assert socket.code is None
    engine.requests()
    clock.advance(5)
    await settle()
    assert engine.commands() == []


async def test_a_body_that_has_asked_for_messages_is_not_cancelled_when_the_client_has_left(world: World) -> None:
    """Such as one that stores what the client said last."""
    stored = asyncio.Event()

    async def slowly(websocket: WebSocket) -> None:
        async with world.sessions.bound(websocket):
            await websocket.accept()
            async for text in websocket.iter_text():
                await stored.wait()
                world.ends.append(text)

    socket = world.open(slowly)
    socket.say("goodbye")
    socket.leave()
    await settle()
    stored.set()
    await socket.ended()
    assert world.ends == ["goodbye"]


async def test_what_was_read_ahead_of_a_body_is_there_behind_it(world: World) -> None:
    async def listening(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket):
            await settle()
        async with world.sessions.bound(websocket):
            await settle()
            world.ends.append(await websocket.receive_text())
            await settle()
        world.ends += [text async for text in websocket.iter_text()]

    socket = world.open(listening)
    for text in ("one", "two", "three"):
        socket.say(text)
    socket.leave()
    await socket.ended()
    assert world.ends == ["one", "two", "three"]


@pytest.mark.parametrize("order", ["the end first", "the leave first"])
async def test_a_session_that_ends_as_its_client_leaves_is_no_error(world: World, order: str) -> None:
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket):
            await asyncio.Event().wait()
        world.ends.append("left")

    socket = world.open(feed)
    await settle()
    if order == "the leave first":
        socket.leave()
    ending = asyncio.ensure_future(world.repo.delete(world.session.tkn))
    if order == "the end first":
        socket.leave()
    await socket.ended()
    await ending
    assert world.ends == ["left"]


async def test_a_session_that_ended_just_after_the_handshake_closes_the_socket(world: World) -> None:
    async def slow(websocket: WebSocket) -> None:
        await world.sessions.current(websocket)
        await websocket.accept()
        await world.repo.delete(world.session.tkn)
        async with world.sessions.bound(websocket):
            await websocket.receive_text()

    socket = world.open(slow)
    await socket.ended()
    assert socket.code == 4401
    assert socket.sent[-1]["reason"] == "the session has ended"


async def test_an_exception_in_the_body_passes(world: World) -> None:
    async def failing(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket):
            raise LookupError

    with pytest.raises(LookupError):
        await world.open(failing).ended()


async def test_an_exception_that_the_body_raises_when_it_is_cut_off_passes_too(world: World) -> None:
    async def failing(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise TimeoutError from None

    socket = world.open(failing)
    await settle()
    await world.repo.delete(world.session.tkn)
    with pytest.raises(TimeoutError):
        await socket.ended()
    assert socket.code == 4401


@pytest.mark.parametrize("also_ended", [False, True])
async def test_a_cancellation_from_outside_is_not_swallowed(world: World, also_ended: bool) -> None:
    socket = world.open()
    await settle()
    if also_ended:
        await world.repo.delete(world.session.tkn)
    socket.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await socket.ended()
    assert world.ends == ["CancelledError"]


async def test_a_cancellation_from_outside_that_comes_after_the_end_is_not_swallowed_either(world: World) -> None:
    async def tidying(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket):
            try:
                await asyncio.Event().wait()
            finally:
                world.ends.append("tidying")
                await asyncio.Event().wait()

    socket = world.open(tidying)
    await settle()
    await world.repo.delete(world.session.tkn)
    await settle()
    assert world.ends == ["tidying"]
    socket.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await socket.ended()
    assert socket.code == 4401


async def test_the_task_may_go_on_after_the_end(world: World) -> None:
    async def going_on(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        world.ends.append("went on")

    socket = world.open(going_on)
    await settle()
    await world.repo.delete(world.session.tkn)
    await socket.ended()
    assert world.ends == ["went on"]


async def test_a_body_with_tasks_of_its_own_is_cut_off_whole(world: World) -> None:
    async def talking(websocket: WebSocket) -> None:
        await websocket.accept()

        async def talk() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                world.ends.append("talk")

        async with world.sessions.bound(websocket), asyncio.TaskGroup() as group:
            group.create_task(talk())
            group.create_task(talk())

    socket = world.open(talking)
    await settle()
    await world.repo.delete(world.session.tkn)
    await socket.ended()
    assert socket.code == 4401
    assert world.ends == ["talk", "talk"]


async def test_many_sockets_of_many_sessions_share_one_request_a_second(
    world: World, clock: MovableClock, engine: RecordingEngine
) -> None:
    sockets = [world.open() for _ in range(50)]
    await world.log_in("other")
    sockets += [world.open() for _ in range(50)]
    await settle()
    engine.requests()
    for _ in range(3):
        clock.advance(1)
        await settle()
    assert engine.commands() == ["SH_EXISTS"] * 3
    await world.repo.delete(world.session.tkn)
    await asyncio.gather(*(socket.ended() for socket in sockets[50:]))
    assert {socket.code for socket in sockets[50:]} == {4401}
    assert {socket.code for socket in sockets[:50]} == {None}
    for socket in sockets[:50]:
        socket.leave()
    await asyncio.gather(*(socket.ended() for socket in sockets[:50]))


async def test_a_client_that_is_closed_ends_the_body_with_the_error(world: World, clock: MovableClock) -> None:
    socket = world.open()
    await settle()
    await world.client.close()
    await socket.pass_time(clock, 2)
    with pytest.raises(NotConnectedError):
        await socket.ended()
    assert socket.code == 1011


@pytest.mark.parametrize("kind", ["sqlite", "server", "nemesisdb"])
async def test_on_every_store_an_end_elsewhere_closes_the_socket_and_renewing_does_not(
    kind: str, clock: MovableClock, engine: RecordingEngine, tmp_path: Path
) -> None:
    engine.like_nemesisdb = kind == "nemesisdb"
    async with NdbServer(engine, ServerOptions(port=0)) as server:
        uri = f"sqlite:///{tmp_path}/sessions.db" if kind == "sqlite" else server.uri
        async with NdbClient.connect(uri) as client, NdbClient.connect(uri) as other:
            world = World(client)
            await world.log_in()
            socket = world.open()
            socket.say("hello")
            await until(lambda: socket.texts)
            await world.repo.renew(world.session)
            clock.advance(2)
            socket.say("still there?")
            await until(lambda: len(socket.texts) == 2)
            assert socket.is_open
            await Repository(other, Visitor).delete(world.session.tkn)
            await socket.ended(clock)
            assert socket.code == 4401


async def test_a_store_that_is_away_is_no_end(
    clock: MovableClock, engine: RecordingEngine, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    server = NdbServer(engine, ServerOptions(port=port))
    await server.start()
    async with asyncio.timeout(60), NdbClient.connect(server.uri, connect_wait=0.05) as client:
        world = World(client)
        await world.log_in()
        socket = world.open()
        await until(lambda: "SH_INFO" in engine.commands())
        await server.stop()
        await until(lambda: "gives no answer" in caplog.text, clock)
        socket.say("still there?")
        await settle()
        assert socket.texts == ["billy: still there?"]
        assert socket.is_open
        assert [each.levelname for each in caplog.records if "gives no answer" in each.message] == ["WARNING"]
        late = world.open()  # and nobody is told to log in
        await late.ended()
        assert late.code == 1013
        server = NdbServer(engine, ServerOptions(port=port))
        await server.start()
        await (await elsewhere(engine)).delete(world.session.tkn)
        await socket.ended(clock)
        assert socket.code == 4401
    await server.stop()


async def test_a_change_of_the_model_in_a_socket_is_refused_by_name(world: World) -> None:
    async def changing(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket) as session:
            session.name = "ada"

    with pytest.raises(ChangedTooLateError, match=r"name changed after .* repo\.edit"):
        await world.open(changing).ended()


async def test_what_is_edited_in_a_socket_is_stored(world: World) -> None:
    async def editing(websocket: WebSocket) -> None:
        await websocket.accept()
        async with world.sessions.bound(websocket) as session, world.repo.edit(session.tkn) as changed:
            changed.name = "ada"

    await world.open(editing).ended()
    assert (await world.repo.get(world.session.tkn)).name == "ada"


async def test_the_current_session_as_a_dependency_refuses_the_handshake_with_401(world: World) -> None:
    async def asking(websocket: WebSocket) -> None:
        await world.sessions.current(websocket)

    world.cookie = ""
    socket = world.open(asking)
    await socket.ended()
    assert socket.code == 1006
    assert socket.sent[0]["status"] == 401
