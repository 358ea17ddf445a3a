"""The middleware among others, and in front of other kinds of applications."""

import asyncio
import logging
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message, Receive, Scope, Send

from ndb_models import InvalidArgumentError, NdbClient, SessionModel
from ndb_models.web import CookieSettings, NotLoggedInError, SessionMiddleware, WebSessions
from tests.web.applications import Shop, Shopper, application, routes, shop
from tests.web.browsers import Browser, set_cookie


class Clerk(SessionModel, schema="web.clerk"):
    name: str = ""
    seen: list[str] = []


async def test_two_classes_of_sessions_live_side_by_side(sessions: WebSessions[Shopper]) -> None:
    clerks = WebSessions("memory://", Clerk, cookie=CookieSettings(name="__Host-clerk"))

    async def both(request: Request) -> list[Any]:
        session, clerk = await sessions.current(request), await clerks.current(request)
        session.cart["apple"] = 1
        clerk.seen.append("apple")
        return [session.cart, clerk.seen]

    async def enter(request: Request) -> None:
        await clerks.login(request, Clerk(name="anna"))

    inside = Starlette(routes=routes(both, enter), middleware=[Middleware(SessionMiddleware, sessions=clerks)])
    app = Starlette(
        routes=[*routes(*Shop(sessions).handlers), Mount("/admin", inside)],
        middleware=[Middleware(SessionMiddleware, sessions=sessions)],
    )
    async with clerks.lifespan(), Browser(app, raises=True) as browser:
        await browser.post("/login")
        await browser.post("/admin/enter")
        assert {*browser.cookies} == {"__Host-session", "__Host-clerk"}
        await browser.post("/admin/both")
        assert (await browser.post("/admin/both")).json() == [{"apple": 1}, ["apple", "apple"]]
        await browser.post("/logout")
        assert {*browser.cookies} == {"__Host-clerk"}


async def test_two_classes_with_one_cookie_are_refused_by_name(sessions: WebSessions[Shopper]) -> None:
    clerks = WebSessions("memory://", Clerk)
    app: Any = SessionMiddleware(SessionMiddleware(application(clerks), clerks), sessions)
    async with clerks.lifespan(), Browser(app, raises=True) as browser:
        with pytest.raises(InvalidArgumentError, match="Clerk and Shopper both have the cookie __Host-session"):
            await browser.get("/")


async def test_the_middleware_may_stand_around_an_application_that_has_it_already(
    sessions: WebSessions[Shopper],
) -> None:
    app = Starlette(
        routes=[Mount("/shop", shop(sessions))], middleware=[Middleware(SessionMiddleware, sessions=sessions)]
    )
    async with Browser(app, raises=True) as browser:
        await browser.post("/shop/login")
        await browser.post("/shop/add?item=apple")
        answer = await browser.get("/shop/cart")
        assert answer.json() == {"apple": 1}
        assert answer.headers.get_list("vary") == ["Cookie"]


class Passing(BaseHTTPMiddleware):
    """A middleware that looks at the session too, and runs the application in a task of its own."""

    def __init__(self, app: Any, sessions: WebSessions[Shopper]) -> None:
        super().__init__(app)
        self.sessions = sessions

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        session = await self.sessions.optional(request)
        if session is not None:
            session.note += "+"
        answer: Response = await call_next(request)
        answer.headers["x-user"] = str(session and session.user)
        return answer


async def test_other_middlewares_see_the_same_session(sessions: WebSessions[Shopper]) -> None:
    async def note(request: Request) -> str:
        return (await sessions.current(request)).note

    app = Starlette(
        routes=routes(*Shop(sessions).handlers, note),
        middleware=[
            Middleware(SessionMiddleware, sessions=sessions),
            Middleware(GZipMiddleware, minimum_size=1),
            Middleware(Passing, sessions=sessions),
        ],
    )
    async with Browser(app, raises=True) as browser:
        await browser.post("/login")
        assert (await browser.get("/note")).json() == "+"
        answer = await browser.get("/note")
        assert (answer.json(), answer.headers["x-user"]) == ("++", "7")


async def test_endpoints_in_threads_change_the_session(sessions: WebSessions[Shopper]) -> None:
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(SessionMiddleware, sessions=sessions)
    router = APIRouter()

    async def user(session: Annotated[Shopper, Depends(sessions.current)]) -> int:
        return session.user or 0

    @router.post("/add/{item}")
    def add(
        item: str,
        session: Annotated[Shopper, Depends(sessions.current)],
        same: Annotated[Shopper | None, Depends(sessions.optional)],
        who: Annotated[int, Depends(user)],
    ) -> dict[str, int]:
        assert session is same
        session.cart[item] = who
        return session.cart

    app.include_router(router)
    app.add_route("/login", _login(sessions), methods=["POST"])
    async with Browser(app, raises=True) as browser:
        assert (await browser.post("/add/apple")).status_code == 401
        await browser.post("/login")
        await browser.post("/add/apple")
        assert (await browser.post("/add/pear")).json() == {"apple": 7, "pear": 7}


def _login(sessions: WebSessions[Shopper]) -> Any:
    async def login(request: Request) -> Response:
        await sessions.login(request, Shopper(user=7))
        return Response()

    return login


async def test_the_application_may_send_those_without_a_session_to_a_page(sessions: WebSessions[Shopper]) -> None:
    async def to_login(request: Request, exc: Exception) -> RedirectResponse:
        return RedirectResponse("/login", 303)

    async with Browser(shop(sessions, exception_handlers={NotLoggedInError: to_login})) as browser:
        answer = await browser.get("/cart")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def development(store: NdbClient | str = "memory://") -> WebSessions[Shopper]:
    return WebSessions(store, Shopper, development=True)


async def test_in_development_plain_http_works_on_localhost_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sessions = development()
    async with sessions.lifespan(), Browser(shop(sessions), base_url="http://localhost:8000") as browser:
        logged_in = await browser.post("/login")
        assert "Secure" not in (set_cookie(logged_in) or "")
        assert (set_cookie(logged_in) or "").startswith("session=")
        assert (await browser.get("/whoami")).json() == 7
        assert (await browser.post("/logout")).json() is True
        assert {*browser.cookies} == set()
    assert caplog.text.count("development=True") == 1


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:80", "127.0.0.1", "127.3.2.1:9", "[::1]", "[::1]:8000", "a.localhost", "localhost."],
)
async def test_in_development_this_machine_is_served_by_all_its_names(host: str) -> None:
    sessions = development()
    async with sessions.lifespan(), Browser(shop(sessions), base_url="http://localhost") as browser:
        assert (await browser.get("/plain", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["shop.example", "localhost.example", "127.0.0.1.example", "10.0.0.1", "[::2]", "notlocalhost", "", "[", "1", "::"],
)
async def test_in_development_no_other_host_is_served(host: str) -> None:
    sessions = development()
    async with sessions.lifespan(), Browser(shop(sessions), base_url="http://localhost") as browser:
        refused = await browser.post("/login", headers={"host": host})
        assert refused.status_code == 400
        assert "development=True" in refused.text
        assert set_cookie(refused) is None


async def test_a_secure_cookie_over_plain_http_is_warned_of_once(
    sessions: WebSessions[Shopper], caplog: pytest.LogCaptureFixture
) -> None:
    async with Browser(shop(sessions), base_url="http://shop.example") as browser:
        await browser.get("/cart")
        assert caplog.text == ""
        await browser.post("/login")
        await browser.post("/login")
    assert caplog.text.count("development=True") == 1
    assert "--proxy-headers" in caplog.text


async def test_what_is_no_request_passes(sessions: WebSessions[Shopper]) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    await SessionMiddleware(app, sessions)({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]


async def test_the_middleware_takes_web_sessions_alone() -> None:
    with pytest.raises(InvalidArgumentError, match="add_middleware"):
        SessionMiddleware(Starlette(), "sqlite:///sessions.db")  # type: ignore[arg-type]  # what a newcomer may try


async def test_an_application_that_answers_nothing_logs_no_one_in(sessions: WebSessions[Shopper]) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await sessions.login(Request(scope), Shopper(user=9))

    async def unused(*_: Any) -> Any:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "scheme": "https", "path": "/", "headers": []}
    await SessionMiddleware(silent, sessions)(scope, unused, unused)
    assert await sessions.repo.find(user=9) == []


async def test_a_login_whose_answer_cannot_be_sent_leaves_no_session(sessions: WebSessions[Shopper]) -> None:
    async def broken(message: Message) -> None:
        raise OSError("the client is gone")

    async def unused() -> Message:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "scheme": "https", "path": "/login", "query_string": b"", "headers": []}
    with pytest.raises(OSError, match="gone"):
        await SessionMiddleware(Starlette(routes=[Route("/login", _login(sessions), methods=["POST"])]), sessions)(
            scope, unused, broken
        )
    assert await sessions.repo.find(user=7) == []


def test_a_websocket_has_the_session_of_its_browser() -> None:
    sessions = development()
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(SessionMiddleware, sessions=sessions)
    app.add_route("/login", _login(sessions), methods=["POST"])

    @app.websocket("/ws")
    async def greet(websocket: WebSocket, session: Annotated[Shopper, Depends(sessions.current)]) -> None:
        session.note = "seen"  # before the handshake is answered
        await websocket.accept()
        await websocket.send_json([session.user, session.note])

    @app.get("/note")
    async def note(session: Annotated[Shopper, Depends(sessions.current)]) -> str:
        return session.note

    with TestClient(app, base_url="http://localhost") as client:
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            client.websocket_connect("ws://localhost/ws"),
        ):
            pass
        assert refused.value.status_code == 401
        client.post("/login")
        with client.websocket_connect("ws://localhost/ws") as websocket:
            assert websocket.receive_json() == [7, "seen"]
        assert client.get("/note").json() == "seen"


async def test_a_client_that_was_given_is_left_open() -> None:
    async with NdbClient.connect("memory://") as client:
        sessions = WebSessions(client, Shopper)
        async with sessions.lifespan():
            pass
        assert client.is_open


async def test_a_client_of_a_uri_is_closed_at_the_end() -> None:
    sessions = WebSessions("memory://", Shopper)
    async with sessions.lifespan(), Browser(shop(sessions)) as browser:
        await browser.post("/login")
        assert sessions.client.is_open
    assert not sessions.client.is_open


@pytest.mark.parametrize("store", [None, 7, Clerk, [], b"memory://"])
def test_a_store_is_a_uri_or_a_client(store: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="its URI"):
        WebSessions(store, Shopper)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"renew_every": 0}, "renew_every="),
        ({"renew_every": -1}, "renew_every="),
        ({"renew_every": "1h"}, "renew_every="),
        ({"renew_every": True}, "renew_every="),
        ({"grace": -1}, "grace"),
        ({"grace": "soon"}, "grace"),
        ({"short": 600}, "short="),
        ({"cookie": "session"}, "cookie="),
        ({"development": "yes"}, "development="),
        ({"save_if": 200}, "save_if="),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        WebSessions("memory://", Shopper, **options)


async def test_answers_at_once_do_not_wait_for_each_other(sessions: WebSessions[Shopper]) -> None:
    gate = asyncio.Event()

    async def slow(request: Request) -> int | None:
        session = await sessions.current(request)
        await gate.wait()
        return session.user

    async with Browser(shop(sessions, slow)) as browser:
        await browser.post("/login")
        asked = asyncio.create_task(browser.get("/slow"))
        assert (await browser.get("/whoami")).json() == 7
        gate.set()
        assert (await asked).json() == 7


async def test_no_message_of_the_log_holds_a_cookie(
    sessions: WebSessions[Shopper], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        cookie = browser.cookie or ""
        await browser.post("/promote")
        await browser.post("/logout")
    assert cookie[:20] not in caplog.text
