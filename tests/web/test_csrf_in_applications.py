"""Requests that other sites' pages make do not reach an application; all others do, with their bodies whole."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI, Form, Request, UploadFile, WebSocket
from starlette.types import Message

from ndb_models import Expiry, SessionModel
from ndb_models.web import SessionMiddleware, WebSessions
from tests.web.browsers import Browser, set_cookie

CROSS_SITE: Final = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
OLD_CROSS_SITE: Final = {"origin": "https://evil.example"}
OWN: Final = {"sec-fetch-site": "same-origin", "origin": "https://shop.example"}


class CsrfUser(SessionModel, schema="web.csrf", expiry=Expiry(idle=600)):
    user: str
    notes: list[str] = []


def application(sessions: WebSessions[CsrfUser]) -> FastAPI:
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(SessionMiddleware, sessions=sessions)

    @app.post("/login")
    async def login(request: Request) -> None:
        await sessions.login(request, CsrfUser(user="ada"))

    @app.get("/token")
    async def token(request: Request) -> str:
        return await sessions.csrf_token(request)

    @app.api_route("/note", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def note(session: Annotated[CsrfUser, Depends(sessions.current)]) -> list[str]:
        session.notes.append("x")
        return session.notes

    @app.post("/form")
    async def form(text: Annotated[str, Form()], session: Annotated[CsrfUser, Depends(sessions.current)]) -> str:
        return text

    @app.post("/file")
    async def file(upload: UploadFile, session: Annotated[CsrfUser, Depends(sessions.current)]) -> int:
        return len(await upload.read())

    @app.post("/public")
    async def public(request: Request) -> int:
        return len(await request.body())

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    return app


@asynccontextmanager
async def logged_in(sessions: WebSessions[CsrfUser]) -> AsyncIterator[Browser]:
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        assert (await browser.post("/login", headers=OWN)).status_code == 200
        yield browser


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    sessions = WebSessions("memory://", CsrfUser)
    async with logged_in(sessions) as browser:
        yield browser


@pytest.fixture
async def careful() -> AsyncIterator[Browser]:
    """A browser of an application that asks for tokens where browsers do not say where requests come from."""
    sessions = WebSessions("memory://", CsrfUser, csrf="token")
    async with logged_in(sessions) as browser:
        yield browser


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("headers", [CROSS_SITE, OLD_CROSS_SITE, {"origin": "null"}, {"sec-fetch-site": "same-site"}])
async def test_another_site_cannot_change_a_session(browser: Browser, method: str, headers: dict[str, str]) -> None:
    refused = await browser.request(method, "/note", headers=headers)
    assert refused.status_code == 403
    assert set_cookie(refused) is None
    assert (await browser.request(method, "/note", headers=OWN)).json() == ["x"]


async def test_another_site_may_link_to_a_page(browser: Browser) -> None:
    assert (await browser.get("/note", headers=CROSS_SITE)).status_code == 200


async def test_a_program_that_is_no_browser_says_nothing_and_passes(browser: Browser) -> None:
    assert (await browser.post("/note")).status_code == 200


async def test_requests_without_our_cookie_are_let_in_from_anywhere(browser: Browser) -> None:
    browser.cookie = None
    assert (await browser.post("/public", headers=CROSS_SITE, content=b"abc")).json() == 3


async def test_another_site_cannot_log_a_browser_in(browser: Browser) -> None:
    browser.cookie = None
    for headers in (CROSS_SITE, OLD_CROSS_SITE):
        refused = await browser.post("/login", headers=headers)
        assert refused.status_code == 403
        assert set_cookie(refused) is None
    assert (await browser.post("/login", headers=OWN)).status_code == 200


async def test_a_trusted_origin_may_do_what_our_own_pages_do() -> None:
    sessions = WebSessions("memory://", CsrfUser, trusted_origins=["https://app.example"])
    trusted = {"sec-fetch-site": "cross-site", "origin": "https://app.example"}
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        assert (await browser.post("/login", headers=trusted)).status_code == 200
        assert (await browser.post("/note", headers=trusted)).status_code == 200
        assert (await browser.post("/note", headers=CROSS_SITE)).status_code == 403


async def test_the_check_can_be_left_out() -> None:
    sessions = WebSessions("memory://", CsrfUser, csrf=False)
    async with logged_in(sessions) as browser:
        assert (await browser.post("/note", headers=CROSS_SITE)).status_code == 200


@pytest.mark.parametrize(
    "forwarded", [{"x-forwarded-host": "evil.example"}, {"forwarded": "host=evil.example;proto=https"}]
)
async def test_headers_of_a_proxy_count_only_if_the_server_says_so(browser: Browser, forwarded: dict[str, str]) -> None:
    assert (await browser.post("/note", headers=OLD_CROSS_SITE | forwarded)).status_code == 403
    assert (await browser.post("/note", headers={"origin": "https://shop.example"} | forwarded)).status_code == 200


async def test_behind_a_proxy_that_ends_tls_the_log_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    sessions = WebSessions("memory://", CsrfUser)
    async with logged_in(sessions) as browser:
        cookie = {"cookie": f"__Host-session={browser.cookie}"}
        async with Browser(application(sessions), base_url="http://shop.example") as inside:
            # What browsers say of themselves holds behind any proxy. Old ones name the origin that the user sees.
            assert (await inside.post("/note", headers=OWN | cookie)).status_code == 200
            old = {"origin": "https://shop.example"} | cookie
            assert (await inside.post("/note", headers=old)).status_code == 403
    assert "proxy" in caplog.text
    assert str(browser.cookie) not in caplog.text


async def test_a_refusal_is_logged_with_its_reason(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ndb_models.web"):
        await browser.post("/note?secret=canary", headers=OLD_CROSS_SITE)
    assert "refused a POST to '/note'" in caplog.text
    assert "https://evil.example" in caplog.text
    assert "canary" not in caplog.text


# Tokens


async def test_where_tokens_are_asked_for_a_silent_request_needs_one(careful: Browser) -> None:
    assert (await careful.post("/note")).status_code == 403
    token = (await careful.get("/token")).json()
    assert (await careful.post("/note", headers={"x-csrf-token": token})).json() == ["x"]
    assert (await careful.post("/note", headers={"x-csrf-token": token[::-1]})).status_code == 403
    assert (await careful.post("/note", headers=OWN)).status_code == 200
    assert (await careful.post("/note", headers=CROSS_SITE | {"x-csrf-token": token})).status_code == 403


async def test_tokens_differ_and_hold_as_long_as_the_session(careful: Browser) -> None:
    one, other = [(await careful.get("/token")).json() for _ in range(2)]
    assert one != other
    for token in (one, other, one):
        assert (await careful.post("/note", headers={"x-csrf-token": token})).status_code == 200
    await careful.post("/login", headers=OWN)
    assert (await careful.post("/note", headers={"x-csrf-token": one})).status_code == 403


async def test_the_token_of_another_session_does_not_do(careful: Browser) -> None:
    mine = careful.cookie
    token = (await careful.get("/token")).json()
    careful.cookie = None
    assert (await careful.get("/token")).json() == ""
    await careful.post("/login", headers=OWN)
    assert (await careful.post("/note", headers={"x-csrf-token": token})).status_code == 403
    careful.cookie = mine
    assert (await careful.post("/note", headers={"x-csrf-token": token})).status_code == 200


async def test_a_form_carries_the_token_in_a_field(careful: Browser) -> None:
    token = (await careful.get("/token")).json()
    text = "a" * 200_000
    assert (await careful.post("/form", data={"csrf_token": token, "text": text})).json() == text
    assert (await careful.post("/form", data={"text": "short", "csrf_token": token})).json() == "short"
    assert (await careful.post("/form", data={"text": text, "csrf_token": token})).status_code == 403
    assert (await careful.post("/form", data={"text": "short"})).status_code == 403
    assert (await careful.post("/form", data={"csrf_token": "", "text": "short"})).status_code == 403


async def test_a_form_with_a_file_carries_the_token_before_it(careful: Browser) -> None:
    token = (await careful.get("/token")).json()
    upload = {"upload": ("a.bin", b"\0" * 3_000_000)}
    assert (await careful.post("/file", data={"csrf_token": token}, files=upload)).json() == 3_000_000
    assert (await careful.post("/file", files=upload)).status_code == 403


async def test_json_carries_the_token_in_the_header_alone(careful: Browser) -> None:
    token = (await careful.get("/token")).json()
    assert (await careful.post("/note", json={"csrf_token": token})).status_code == 403


async def test_an_upload_is_not_held_back_beyond_the_bound(careful: Browser) -> None:
    token, cookie = (await careful.get("/token")).json(), careful.cookie
    received, boundary = 0, b"x"
    first = b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n%s\r\n--x\r\n' % token.encode()
    chunk, chunks = b"\0" * 65536, 100
    given = 0

    async def receive() -> Message:
        nonlocal given
        given += 1
        await asyncio.sleep(0)
        if given == 1:
            return {"type": "http.request", "body": first, "more_body": True}
        return {"type": "http.request", "body": chunk, "more_body": given <= chunks}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal received
        assert given == 1  # the rest has not been read
        while True:
            message = await receive()
            received += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    status = await answer_to(app, receive, cookie, b"multipart/form-data; boundary=" + boundary)
    assert status == 200
    assert received == len(first) + chunks * len(chunk)


@pytest.mark.parametrize("kind", [b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x"])
async def test_an_endless_form_without_a_token_is_refused_after_the_bound(careful: Browser, kind: bytes) -> None:
    given = 0

    async def receive() -> Message:
        nonlocal given
        given += 1
        assert given < 100
        return {"type": "http.request", "body": b"x" * 8192, "more_body": True}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the application must not be reached")

    assert await answer_to(app, receive, careful.cookie, kind) == 403
    assert given == 8


async def test_a_client_that_leaves_in_the_middle_of_a_form_is_not_waited_for(careful: Browser) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"a=1", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the application must not be reached")

    assert await answer_to(app, receive, careful.cookie, b"application/x-www-form-urlencoded") == 403


async def answer_to(app: Any, receive: Any, cookie: str | None, content_type: bytes) -> int:
    """Return the status of the answer to a POST."""
    sessions = WebSessions("memory://", CsrfUser, csrf="token")
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"shop.example"), (b"content-type", content_type)]
    headers.append((b"cookie", f"__Host-session={cookie}".encode()))
    scope = {"type": "http", "method": "POST", "scheme": "https", "path": "/", "headers": headers}
    async with sessions.lifespan():
        await SessionMiddleware(app, sessions)(scope, receive, send)
    return int(sent[0]["status"])


async def test_a_page_that_logs_in_may_have_a_token_at_once() -> None:
    sessions = WebSessions("memory://", CsrfUser, csrf="token")
    app = application(sessions)

    @app.post("/login-form")
    async def login_form(request: Request) -> str:
        await sessions.login(request, CsrfUser(user="ada"))
        return await sessions.csrf_token(request)

    async with sessions.lifespan(), Browser(app) as browser:
        token = (await browser.post("/login-form")).json()
        assert (await browser.post("/note", headers={"x-csrf-token": token})).status_code == 200


async def test_a_page_that_begins_a_session_by_its_dict_may_have_a_token_at_once() -> None:
    sessions = WebSessions("memory://", CsrfUser, csrf="token", request_session=True)
    app = application(sessions)

    @app.get("/first-page")
    async def first_page(request: Request, fails: bool = False) -> str:
        request.session["user"] = "visitor"
        token = await sessions.csrf_token(request)
        if fails:
            raise ZeroDivisionError
        return token

    async with sessions.lifespan(), Browser(app) as browser:
        await browser.get("/first-page?fails=true")
        assert browser.cookie is None
        assert [session async for session in sessions.repo.sessions()] == []
        token = (await browser.get("/first-page")).json()
        assert (await browser.post("/note", headers={"x-csrf-token": token})).json() == ["x"]


async def test_a_cookie_that_cannot_be_one_of_ours_needs_no_token(careful: Browser) -> None:
    careful.cookie = "nonsense"
    assert (await careful.post("/public", content=b"abc")).json() == 3


# WebSockets


async def handshake(sessions: WebSessions[CsrfUser], cookie: str | None, headers: dict[str, str]) -> str:
    """Return the type of the first message that an application answers a WebSocket's handshake with."""
    sent: list[Message] = []
    messages: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1005}]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    lines = {"host": "shop.example"} | headers | ({} if cookie is None else {"cookie": f"__Host-session={cookie}"})
    scope = {
        "type": "websocket",
        "scheme": "wss",
        "path": "/ws",
        "query_string": b"",
        "root_path": "",
        "subprotocols": [],
        "headers": [(name.encode(), value.encode()) for name, value in lines.items()],
    }
    await application(sessions)(scope, receive, send)
    return str(sent[0]["type"])


async def test_another_site_cannot_open_a_websocket_with_our_cookie() -> None:
    sessions = WebSessions("memory://", CsrfUser, trusted_origins=["https://app.example"])
    async with logged_in(sessions) as browser:
        for headers in ({"origin": "https://shop.example"}, {"origin": "https://app.example"}, OWN, {}):
            assert await handshake(sessions, browser.cookie, headers) == "websocket.accept"
        for headers in (CROSS_SITE, OLD_CROSS_SITE, {"origin": "null"}, {"origin": "http://shop.example"}):
            assert await handshake(sessions, browser.cookie, headers) == "websocket.close"
        assert await handshake(sessions, None, CROSS_SITE) == "websocket.accept"
