"""The sessions live as long as the application that has their middleware."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ndb_models import NdbClient
from ndb_models.web import SessionMiddleware, WebSessions
from tests.web.applications import Shopper

UNREACHABLE = "ws://127.0.0.1:1"


class Server:
    """Runs the lifespan of an application, as a server does. `sent` are the messages of the application."""

    def __init__(self, app: ASGIApp, on_send: Callable[[str], object] = lambda _: None) -> None:
        self.sent: list[str] = []
        self._on_send = on_send
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._told = asyncio.Event()
        self._task = asyncio.create_task(self._run(app))

    async def _run(self, app: ASGIApp) -> None:
        async def send(message: Message) -> None:
            self._on_send(message["type"])
            self.sent.append(message["type"])
            self._told.set()

        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, self._events.get, send)

    async def tell(self, event: str) -> None:
        """Send an event, and wait for the answer."""
        self._told.clear()
        self._events.put_nowait({"type": f"lifespan.{event}"})
        told = asyncio.ensure_future(self._told.wait())
        await asyncio.wait([told, self._task], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()

    async def ended(self) -> None:
        """Wait for the end of the application."""
        await self._task


def made(uri: str = "memory://") -> WebSessions[Shopper]:
    return WebSessions(uri, Shopper)


async def test_the_client_is_open_from_the_start_to_the_end_of_the_application() -> None:
    sessions = made()
    open_at: list[tuple[str, bool]] = []
    app = Starlette(middleware=[sessions.middleware])
    server = Server(app, lambda kind: open_at.append((kind, sessions.client.is_open)))
    await server.tell("startup")
    await sessions.repo.save(Shopper())
    await server.tell("shutdown")
    await server.ended()
    assert open_at == [("lifespan.startup.complete", True), ("lifespan.shutdown.complete", False)]


async def test_a_client_of_the_application_stays_open() -> None:
    async with NdbClient.connect("memory://") as client:
        sessions = WebSessions(client, Shopper)
        server = Server(Starlette(middleware=[sessions.middleware]))
        await server.tell("startup")
        await server.tell("shutdown")
        await server.ended()
        assert client.is_open


async def test_a_lifespan_of_the_application_has_the_sessions_to_its_end() -> None:
    sessions = made()
    found: list[Shopper | None] = []

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncGenerator[None]:
        session = await sessions.repo.save(Shopper(note="early"))
        yield
        found.append(await sessions.repo.get_or_none(session.tkn))

    server = Server(Starlette(lifespan=lifespan, middleware=[sessions.middleware]))
    await server.tell("startup")
    await server.tell("shutdown")
    await server.ended()
    assert [each and each.note for each in found] == ["early"]
    assert not sessions.client.is_open


async def test_with_both_the_store_is_looked_for_once_and_closed_by_the_last(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ndb_models.web")
    sessions = made(UNREACHABLE)
    app = Starlette(lifespan=sessions.lifespan, middleware=[Middleware(SessionMiddleware, sessions=sessions)])
    server = Server(app)
    await server.tell("startup")
    assert [record.getMessage()[:43] for record in caplog.records] == ["the store of Shopper gives no answer at the"]
    await server.tell("shutdown")
    await server.ended()
    assert server.sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    async with sessions.lifespan():
        assert len(caplog.records) == 2


async def test_two_applications_share_sessions_until_the_second_ends() -> None:
    sessions = made()
    async with sessions.lifespan():
        async with sessions.lifespan():
            session = await sessions.repo.save(Shopper())
        assert await sessions.repo.get_or_none(session.tkn) is not None
    assert not sessions.client.is_open


@pytest.mark.parametrize("fails_at", ["startup", "shutdown"])
async def test_a_lifespan_that_fails_leaves_nothing_open(fails_at: str) -> None:
    sessions = made()

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncGenerator[None]:
        if fails_at == "startup":
            raise RuntimeError
        yield
        raise RuntimeError

    server = Server(Starlette(lifespan=lifespan, middleware=[sessions.middleware]))
    await server.tell("startup")
    await server.tell("shutdown")
    with pytest.raises(RuntimeError):
        await server.ended()
    assert server.sent[-1] == f"lifespan.{fails_at}.failed"
    assert not sessions.client.is_open


async def test_an_application_without_a_lifespan_says_so_to_its_server() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "no lifespan"

    sessions = made()
    server = Server(SessionMiddleware(app, sessions=sessions))
    await server.tell("startup")
    with pytest.raises(AssertionError, match="no lifespan"):
        await server.ended()
    assert server.sent == []
    assert not sessions.client.is_open


async def test_what_is_no_request_goes_to_the_application_as_it_is() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def nothing(*_: object) -> Any:
        return None

    middleware: Callable[[Any, Any, Any], Awaitable[None]] = SessionMiddleware(app, sessions=made())
    scope = {"type": "queue"}
    await middleware(scope, nothing, nothing)
    assert seen == [(scope, nothing, nothing)]
