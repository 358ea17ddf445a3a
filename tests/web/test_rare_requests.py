"""Requests that few browsers make, and handlers that few applications have."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import HTTPConnection, Request
from starlette.types import Message, Receive, Scope, Send

from ndb_models import Expiry, InvalidArgumentError, NdbClient, Repository, SessionModel
from ndb_models.protocol.statuses import Status
from ndb_models.web import SessionMiddleware, WebSessions
from ndb_models.web.cookies import ShownCookie
from ndb_models.web.exchange import is_from
from ndb_models.web.viewed_class import REFUSED
from ndb_models.web.visit import Visit, VisitRules
from tests.interposed import InterposedClient
from tests.web.applications import Shopper, shop
from tests.web.browsers import Browser
from tests.web.test_visit import HOUR, NOTHING, Guest, opened, stored, visit


async def messages(app: Any, kind: str, *, host: bytes = b"shop.example", cookie: str | None = None) -> list[Message]:
    """Return what an application sends in answer to a request, or to a WebSocket that says nothing."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", host)]
    if cookie is not None:
        headers.append((b"cookie", f"__Host-session={cookie}".encode()))
    scheme = "wss" if kind == "websocket" else "https"
    scope = {"type": kind, "method": "GET", "scheme": scheme, "path": "/", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    return sent


async def test_in_development_a_websocket_for_another_host_is_closed() -> None:
    sessions = WebSessions("memory://", Shopper, development=True)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the application must not be reached")

    async with sessions.lifespan():
        sent = await messages(SessionMiddleware(app, sessions), "websocket")
        assert sent == [{"type": "websocket.close", "code": 1008}]
        answer = await messages(SessionMiddleware(app, sessions), "http")
        assert answer[0]["status"] == 400


async def test_a_message_before_the_answer_goes_through_as_it_is(sessions: WebSessions[Shopper]) -> None:
    """Starlette's test client asks for the templates of an answer in such a message."""
    debug = {"type": "http.response.debug", "info": {"template": "home"}}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(debug)
        await sessions.login(HTTPConnection(scope), Shopper(user=7))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    first, start, _ = await messages(SessionMiddleware(app, sessions), "http")
    assert first == debug
    assert b"set-cookie" in dict(start["headers"])


async def test_a_websocket_that_is_refused_keeps_its_session(sessions: WebSessions[Shopper]) -> None:
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            session = await sessions.current(HTTPConnection(scope))
            assert session.user == 7
            await send({"type": "websocket.close", "code": 4000})

        sent = await messages(SessionMiddleware(app, sessions), "websocket", cookie=browser.cookie)
        assert sent == [{"type": "websocket.close", "code": 4000}]
        assert (await browser.get("/whoami")).json() == 7


async def test_a_websocket_whose_change_cannot_be_stored_is_told_to_come_again() -> None:
    client = InterposedClient()
    sessions = WebSessions(client, Shopper)
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            (await sessions.current(HTTPConnection(scope))).note = "x"
            client.refuse_all("SH_CHANGE", Status.UNKNOWN)
            client.refuse_all("SH_SET", Status.UNKNOWN)
            await send({"type": "websocket.accept"})

        sent = await messages(SessionMiddleware(app, sessions), "websocket", cookie=browser.cookie)
        assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_a_handler_asks_for_its_session_from_two_tasks(watched: NdbClient) -> None:
    sessions = WebSessions(watched, Shopper)

    async def both(request: Request) -> list[int | None]:
        one, other = await asyncio.gather(sessions.optional(request), sessions.optional(request))
        assert one is other
        return [one.user if one is not None else None]

    async with Browser(shop(sessions, both)) as browser:
        await browser.post("/login")
        assert (await browser.get("/both")).json() == [7]


async def test_a_stored_session_of_another_class_logs_no_one_in(sessions: WebSessions[Shopper]) -> None:
    class Other(SessionModel, schema="web.other"):
        pass

    async def wrong(request: Request) -> None:
        other: Any = await Repository(sessions.client, Other).save(Other())
        with pytest.raises(InvalidArgumentError, match="these sessions are of Shopper"):
            await sessions.login(request, other)

    async with Browser(shop(sessions, wrong)) as browser:
        answer = await browser.post("/wrong")
        assert answer.status_code == 200
        assert browser.cookie is None


async def test_a_store_that_refuses_is_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    client = InterposedClient()
    sessions = WebSessions(client, Shopper)
    client.refuse_all("SH_EXISTS", Status.COMMAND_DISABLED)
    async with sessions.lifespan():
        assert "gives no answer at the start" in caplog.text
        app = shop(sessions)
        app.add_route("/readyz", sessions.readyz)
        async with Browser(app) as browser:
            answer = await browser.get("/readyz")
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            client.wire.always.clear()
            assert (await browser.get("/readyz")).text == "ready"


def test_an_error_is_from_a_failure_if_it_was_raised_from_it() -> None:
    failure, other = ValueError("a"), ValueError("b")
    wrapped = RuntimeError("c")
    wrapped.__cause__ = failure
    assert not is_from(failure, None)
    assert is_from(failure, failure)
    assert is_from(wrapped, failure)
    assert is_from(ExceptionGroup("", [failure, wrapped]), failure)
    assert not is_from(ExceptionGroup("", [failure, other]), failure)


def test_a_session_that_is_not_wanted_as_a_dict_has_no_protocol_of_pythons() -> None:
    """Libraries look whether an object has such an attribute, and must not fail for that."""
    assert not hasattr(REFUSED, "__array__")
    with pytest.raises(InvalidArgumentError, match="request_session=True"):
        REFUSED.get("user")


def test_a_login_with_a_session_that_the_visit_did_not_open_may_be_short() -> None:
    made = visit(None, VisitRules(principal=("user", "role"), short=Expiry(idle=3600)))
    made.log_in(stored(9), created=False, remember=True)
    assert not made.is_short
    made.log_in(stored(9), created=False, remember=False)
    assert made.is_short


def test_a_session_that_was_set_by_hand_has_no_cookie_to_replace() -> None:
    made: Visit[Guest] = Visit(ShownCookie("x", True), VisitRules(principal=("user", "role")))
    made.opened(None)
    made.session = stored(3)
    assert made.steps(NOTHING, HOUR) == ()
    assert visit(opened()).steps(NOTHING, HOUR) == ()
