"""When changes of a session are stored, and what is answered if they cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message

from ndb_models import DuplicateError, NdbClient, UnstorableError
from ndb_models.web import AnswerBegunError, ChangedTooLateError, WebSessions
from tests.repository.recording import RecordingEngine
from tests.web.applications import Shopper, shop
from tests.web.browsers import Browser, browsers, set_cookie


async def exchange(app: Any, browser: Browser, path: str, sent: list[tuple[Message, Any]]) -> None:
    """Ask an application without a client between. Collect its messages, with the stored cart as each was sent."""
    sessions: WebSessions[Shopper] = app.user_middleware[0].kwargs["sessions"]

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        stored = await sessions.repo.authenticate(browser.cookie)
        sent.append((message, None if stored is None else stored.cart))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "scheme": "https",
        "path": path.partition("?")[0],
        "query_string": path.partition("?")[2].encode(),
        "headers": [(b"host", b"shop.example"), (b"cookie", f"__Host-session={browser.cookie}".encode())],
    }
    await app(scope, receive, send)


async def test_a_change_is_stored_before_the_answer_begins(sessions: WebSessions[Shopper]) -> None:
    app = shop(sessions)
    async with Browser(app) as browser:
        await browser.post("/login")
        messages: list[tuple[Message, Any]] = []
        await exchange(app, browser, "/add?item=apple", messages)
        assert [message["type"] for message, _ in messages] == ["http.response.start", "http.response.body"]
        assert [cart for _, cart in messages] == [{"apple": 1}] * 2


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500, 503])
async def test_a_request_that_fails_changes_nothing(sessions: WebSessions[Shopper], status: int) -> None:
    async def fail(request: Request) -> Response:
        (await sessions.current(request)).cart["pear"] = 1
        return Response(status_code=status)

    async with Browser(shop(sessions, fail)) as browser:
        await browser.post("/login")
        failed = await browser.post("/fail")
        assert failed.status_code == status
        assert set_cookie(failed) is None
        assert (await browser.get("/cart")).json() == {}


@pytest.mark.parametrize("error", [RuntimeError("no"), HTTPException(418), KeyError("x")])
async def test_an_exception_changes_nothing(sessions: WebSessions[Shopper], error: Exception) -> None:
    async def fail(request: Request) -> Response:
        (await sessions.current(request)).cart["pear"] = 1
        raise error

    async with Browser(shop(sessions, fail)) as browser:
        await browser.post("/login")
        assert (await browser.post("/fail")).status_code in (418, 500)
        assert (await browser.get("/cart")).json() == {}


@pytest.mark.parametrize("status", [200, 201, 204, 302, 303, 304])
async def test_a_request_that_succeeds_is_stored(sessions: WebSessions[Shopper], status: int) -> None:
    async def change(request: Request) -> Response:
        (await sessions.current(request)).cart["pear"] = 1
        return Response(status_code=status, headers={"location": "/cart"})

    async with Browser(shop(sessions, change)) as browser:
        await browser.post("/login")
        assert (await browser.post("/change")).status_code == status
        assert (await browser.get("/cart")).json() == {"pear": 1}


async def test_the_application_may_say_which_answers_are_stored() -> None:
    sessions = WebSessions("memory://", Shopper, save_if=lambda status: status < 500)

    async def change(request: Request) -> Response:
        status = int(request.query_params["status"])
        (await sessions.current(request)).cart[str(status)] = 1
        return Response(status_code=status)

    async with sessions.lifespan(), Browser(shop(sessions, change)) as browser:
        await browser.post("/login")
        for status in (200, 422, 500):
            await browser.post(f"/change?status={status}")
        assert (await browser.get("/cart")).json() == {"200": 1, "422": 1}


async def test_requests_at_once_all_keep_their_changes(sessions: WebSessions[Shopper]) -> None:
    gate = asyncio.Barrier(20)

    async def add_at_once(request: Request) -> None:
        session = await sessions.current(request)
        await gate.wait()
        session.cart[request.query_params["item"]] = 1

    async with Browser(shop(sessions, add_at_once)) as browser:
        await browser.post("/login")
        answers = await asyncio.gather(*(browser.post(f"/add_at_once?item={item}") for item in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await browser.get("/cart")).json() == {str(item): 1 for item in range(20)}


async def test_a_request_has_one_session_however_often_it_asks(sessions: WebSessions[Shopper]) -> None:
    async def ask(request: Request) -> bool:
        first, second = await asyncio.gather(sessions.current(request), sessions.optional(request))
        return first is second is await sessions.current(request)

    async with Browser(shop(sessions, ask)) as browser:
        await browser.post("/login")
        assert (await browser.get("/ask")).json() is True


async def test_a_request_that_touches_no_session_costs_nothing(engine: RecordingEngine, watched: NdbClient) -> None:
    sessions = WebSessions(watched, Shopper)
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        engine.frames.clear()
        answer = await browser.get("/plain")
        assert engine.frames == []
        assert not {"set-cookie", "vary", "cache-control"} & answer.headers.keys()


async def test_a_request_that_changes_nothing_writes_nothing(engine: RecordingEngine, watched: NdbClient) -> None:
    sessions = WebSessions(watched, Shopper)
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        await browser.get("/cart")
        engine.commands()
        answer = await browser.get("/cart")
        assert set(engine.commands()) <= {"SH_PEEK", "SH_GET"}
        assert set_cookie(answer) is None


@pytest.mark.parametrize("cookie", [None, "", "nonsense", "A" * 54, "x" * 4000, "Ü"])
async def test_a_bad_cookie_costs_one_read_and_is_removed_when_it_is_looked_at(
    engine: RecordingEngine, watched: NdbClient, cookie: str | None
) -> None:
    sessions = WebSessions(watched, Shopper)
    headers = {} if cookie is None else {b"cookie": f"__Host-session={cookie}".encode()}
    async with Browser(shop(sessions)) as browser:
        engine.commands()
        assert (await browser.get("/plain", headers=headers)).headers.get("set-cookie") is None
        answer = await browser.get("/whoami", headers=headers)
        assert answer.json() is None
        assert len(engine.commands()) == (1 if cookie == "A" * 54 else 0)
        expected = None if cookie is None else "__Host-session=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax"
        assert set_cookie(answer) == expected


async def test_a_session_that_ended_meanwhile_is_not_changed_and_the_answer_says_so(
    sessions: WebSessions[Shopper],
) -> None:
    async def lose(request: Request) -> None:
        session = await sessions.current(request)
        await sessions.repo.delete(session.tkn)
        if "change" in request.query_params:
            session.cart["pear"] = 1

    async with Browser(shop(sessions, lose)) as browser:
        await browser.post("/login")
        assert (await browser.post("/lose")).status_code == 200
        await browser.post("/login")
        answer = await browser.post("/lose?change")
        assert answer.status_code == 401
        assert browser.cookie is None


async def test_what_cannot_be_stored_is_no_success(sessions: WebSessions[Shopper]) -> None:
    async def spoil(request: Request) -> None:
        (await sessions.current(request)).note = 7  # type: ignore[assignment]  # what a careless program does

    async with Browser(shop(sessions, spoil)) as browser, Browser(shop(sessions, spoil), raises=True) as loud:
        await browser.post("/login")
        assert (await browser.post("/spoil")).status_code == 500
        loud.cookie = browser.cookie
        with pytest.raises(UnstorableError, match="note"):
            await loud.post("/spoil")


async def test_a_duplicate_is_the_applications_to_answer(sessions: WebSessions[Shopper]) -> None:
    async def twice(request: Request) -> JSONResponse:
        try:
            raise DuplicateError("Shopper", "user")
        except DuplicateError as exc:
            return JSONResponse(exc.field, 409)

    async with Browser(shop(sessions, twice)) as browser:
        assert (await browser.post("/twice")).json() == "user"


async def test_a_change_in_a_stream_is_an_error_and_cuts_the_stream_short(sessions: WebSessions[Shopper]) -> None:
    async def stream(request: Request) -> StreamingResponse:
        session = await sessions.current(request)

        async def lines() -> AsyncIterator[str]:
            yield "one\n"
            session.cart["late"] = 1
            yield "two\n"

        return StreamingResponse(lines())

    app = shop(sessions, stream)
    async with Browser(app) as browser:
        await browser.post("/login")
        sent: list[tuple[Message, Any]] = []
        with pytest.raises(ChangedTooLateError, match="cart changed after the answer had begun") as late:
            await exchange(app, browser, "/stream", sent)
        assert [message.get("body") for message, _ in sent] == [None, b"one\n", b"two\n"]
        assert all(message.get("more_body", True) for message, _ in sent)
        assert late.value.fields == ("cart",)
        assert (await browser.get("/cart")).json() == {}


async def test_a_stream_that_only_reads_its_session_is_no_error(sessions: WebSessions[Shopper]) -> None:
    async def stream(request: Request) -> StreamingResponse:
        session = await sessions.current(request)
        session.cart["early"] = 1

        async def lines() -> AsyncIterator[str]:
            yield str(session.user)
            yield str(session.cart)

        return StreamingResponse(lines())

    async with Browser(shop(sessions, stream), raises=True) as browser:
        await browser.post("/login")
        assert (await browser.get("/stream")).text == "7{'early': 1}"
        assert (await browser.get("/cart")).json() == {"early": 1}


@pytest.mark.parametrize("status", [200, 404])
async def test_a_change_in_a_background_task_is_an_error(sessions: WebSessions[Shopper], status: int) -> None:
    async def later(request: Request) -> Response:
        session = await sessions.current(request)
        return Response(status_code=status, background=BackgroundTask(session.cart.update, late=1))

    async with Browser(shop(sessions, later), raises=True) as browser:
        await browser.post("/login")
        with pytest.raises(ChangedTooLateError, match="cart"):
            await browser.post("/later")
        assert (await browser.get("/cart")).json() == {}


async def test_a_background_task_changes_the_session_by_an_edit(sessions: WebSessions[Shopper]) -> None:
    async def later(request: Request) -> Response:
        session = await sessions.current(request)

        async def change() -> None:
            async with sessions.repo.edit(session.tkn) as edited:
                edited.cart["late"] = 1

        return Response(background=BackgroundTask(change))

    async with Browser(shop(sessions, later), raises=True) as browser:
        await browser.post("/login")
        await browser.post("/later")
        assert (await browser.get("/cart")).json() == {"late": 1}


@pytest.mark.parametrize("verb", ["login", "logout", "renew", "logout_everywhere"])
async def test_what_sets_a_cookie_is_refused_once_the_answer_has_begun(
    sessions: WebSessions[Shopper], verb: str
) -> None:
    async def stream(request: Request) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "one"
            with pytest.raises(AnswerBegunError, match=verb):
                await getattr(sessions, verb)(request, *([Shopper()] if verb == "login" else []))
            yield "refused"

        return StreamingResponse(lines())

    async with Browser(shop(sessions, stream), raises=True) as browser:
        await browser.post("/login")
        assert (await browser.get("/stream")).text == "onerefused"


async def test_a_session_can_be_read_in_a_stream(sessions: WebSessions[Shopper]) -> None:
    async def stream(request: Request) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "user "
            yield str((await sessions.current(request)).user)

        return StreamingResponse(lines())

    async with Browser(shop(sessions, stream), raises=True) as browser:
        await browser.post("/login")
        assert (await browser.get("/stream")).text == "user 7"


async def test_head_and_options_are_answered_as_the_application_does(sessions: WebSessions[Shopper]) -> None:
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        head = await browser.head("/cart")
        assert (head.status_code, head.content) == (200, b"")
        assert (await browser.options("/cart")).status_code == 405


async def test_two_browsers_have_two_sessions(sessions: WebSessions[Shopper]) -> None:
    async with browsers(shop(sessions)) as (one, other):
        await one.post("/login?user=1")
        await other.post("/login?user=2")
        assert [(await each.get("/whoami")).json() for each in (one, other)] == [1, 2]
