"""The store is away: 503 at once, no one is logged out, and nothing is lost."""

import asyncio
import time as real_time
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from ndb_models import UnavailableError
from ndb_models.testing import RunningServer
from ndb_models.web import SessionMiddleware, SessionsUnavailableError, WebSessions
from tests.web.applications import Shopper, application, shop
from tests.web.browsers import Browser, set_cookie


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    """A server that stops and starts."""
    with RunningServer() as server:
        yield server


async def test_without_its_store_the_application_answers_503_at_once_and_goes_on_afterwards(
    server: RunningServer,
) -> None:
    sessions = WebSessions(server.uri, Shopper)
    async with sessions.lifespan(), Browser(shop(sessions)) as browser:
        await browser.post("/login")
        await browser.post("/add?item=apple")
        cookie = browser.cookie
        await asyncio.to_thread(server.stop)
        begun = real_time.monotonic()
        for path in ("/cart", "/add?item=pear", "/login", "/logout", "/whoami"):
            answer = await browser.post(path)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert set_cookie(answer) is None
        assert real_time.monotonic() - begun < 20
        assert (await browser.get("/plain")).status_code == 200
        assert browser.cookie == cookie
        await asyncio.to_thread(server.start)
        answer = await back(browser, "/cart")
        assert answer.json() == {"apple": 1}


async def back(browser: Browser, path: str) -> httpx.Response:
    """Ask until the store is back."""
    answer = await browser.get(path)
    for _ in range(100):
        if answer.status_code == 503:
            await asyncio.sleep(0.05)
            answer = await browser.get(path)
    return answer


async def test_an_application_starts_without_its_store(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.to_thread(server.stop)
    sessions = WebSessions(server.uri, Shopper)
    async with sessions.lifespan(), Browser(shop(sessions)) as browser:
        assert f"gives no answer at the start: cannot connect to {server.uri}: Connection refused" in caplog.text
        assert (await browser.post("/login")).status_code == 503
        await asyncio.to_thread(server.start)
        for _ in range(100):
            if (await browser.post("/login")).status_code == 200:
                break
            await asyncio.sleep(0.05)
        assert (await browser.get("/whoami")).json() == 7


@pytest.mark.parametrize("kind", ["plain", "stream", "background"])
async def test_a_change_that_cannot_be_stored_is_no_success(server: RunningServer, kind: str) -> None:
    sessions = WebSessions(server.uri, Shopper)
    ran: list[str] = []

    async def change(request: Request) -> Response:
        (await sessions.current(request)).cart["pear"] = 1
        await asyncio.to_thread(server.stop)
        if kind == "stream":

            async def endless() -> AsyncIterator[str]:
                while True:
                    ran.append("stream")
                    yield "x"
                    await asyncio.sleep(0)

            return StreamingResponse(endless())
        return JSONResponse("stored", background=BackgroundTask(ran.append, "background"))

    async with sessions.lifespan(), Browser(shop(sessions, change)) as browser:
        await browser.post("/login")
        cookie = browser.cookie
        answer = await asyncio.wait_for(browser.post("/change"), 60)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert b"stored" not in answer.content
        assert ran == []
        assert browser.cookie == cookie
        await asyncio.to_thread(server.start)
        assert (await back(browser, "/cart")).json() == {}


async def test_errors_of_other_clients_of_the_application_are_its_own(sessions: WebSessions[Shopper]) -> None:
    async def other(request: Request) -> None:
        await sessions.current(request)
        raise UnavailableError("the search engine is away")

    async with Browser(shop(sessions, other), raises=True) as browser:
        await browser.post("/login")
        with pytest.raises(UnavailableError, match="search engine"):
            await browser.get("/other")


async def test_the_application_may_answer_an_outage_itself(server: RunningServer) -> None:
    sessions = WebSessions(server.uri, Shopper)

    async def apologise(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, SessionsUnavailableError)
        return Response("back soon", 503, {"retry-after": "60"})

    async with (
        sessions.lifespan(),
        Browser(shop(sessions, exception_handlers={SessionsUnavailableError: apologise})) as browser,
    ):
        await browser.post("/login")
        await asyncio.to_thread(server.stop)
        answer = await browser.get("/cart")
        assert (answer.text, answer.headers["retry-after"]) == ("back soon", "60")
        assert isinstance(await failure(sessions), UnavailableError)


async def failure(sessions: WebSessions[Shopper]) -> Exception | None:
    try:
        await sessions.repo.get(1)
    except UnavailableError as exc:
        return exc
    return None


async def test_an_outage_is_logged_once(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    sessions = WebSessions(server.uri, Shopper)
    async with sessions.lifespan(), Browser(shop(sessions)) as browser:
        await browser.post("/login")
        await asyncio.to_thread(server.stop)
        for _ in range(5):
            await browser.get("/cart")
        warnings = [each.getMessage() for each in caplog.records if each.name == "ndb_models.web"]
        assert len(warnings) == 1
        assert "the store of Shopper is away" in warnings[0]


async def test_probes_are_told_whether_the_store_answers(server: RunningServer) -> None:
    sessions = WebSessions(server.uri, Shopper)
    app = application(sessions)
    app.add_route("/readyz", sessions.readyz)
    async with sessions.lifespan(), Browser(app) as probe:
        assert (await sessions.ready(), (await probe.get("/readyz")).status_code) == (True, 200)
        await asyncio.to_thread(server.stop)
        assert (await sessions.ready(), (await probe.get("/readyz")).status_code) == (False, 503)


async def test_an_application_that_does_not_mind_errors_adds_nothing_to_the_answer(server: RunningServer) -> None:
    sessions = WebSessions(server.uri, Shopper)
    stubborn: list[type[Exception]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        (await sessions.current(HTTPConnection(scope))).note = "x"
        await asyncio.to_thread(server.stop)
        messages: list[Message] = [
            {"type": "http.response.start", "status": 200, "headers": []},
            {"type": "http.response.body", "body": b"stored"},
        ]
        for message in messages:
            try:
                await send(message)
            except UnavailableError as exc:
                stubborn.append(type(exc))

    async with sessions.lifespan(), Browser(shop(sessions)) as browser:
        await browser.post("/login")
        async with Browser(SessionMiddleware(app, sessions)) as other:
            other.cookie = browser.cookie
            answer = await other.get("/")
    assert (answer.status_code, answer.text) == (503, "Try again later")
    assert len(stubborn) == 2
