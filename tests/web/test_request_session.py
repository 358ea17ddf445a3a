"""`request.session` behaves as that of Starlette's middleware, and is a session of ours underneath."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as StarlettesMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message
from starlette.websockets import WebSocket

from ndb_models import Expiry, InvalidArgumentError, Lookup, NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from ndb_models.web import ChangedTooLateError, Principal, SessionMiddleware, WebSessions
from tests.web.browsers import Browser, set_cookie


class FreeSession(SessionModel, schema="web.dict.free", extra="allow", expiry=Expiry(idle=600)):
    pass


class TypedSession(SessionModel, schema="web.dict.typed", expiry=Expiry(idle=600)):
    user: Annotated[int | None, Principal()] = None
    cart: dict[str, int] = {}
    visits: int = 0


class NamedSession(SessionModel, schema="web.dict.named", extra="allow"):
    name: Annotated[str, Lookup(unique=True)]


def view_session(request: Request) -> JSONResponse:
    return JSONResponse({"session": request.session})


async def update_session(request: Request) -> JSONResponse:
    request.session.update(await request.json())
    return JSONResponse({"session": request.session})


async def merge_session(request: Request) -> JSONResponse:
    session = request.session
    session |= await request.json()
    return JSONResponse({"session": request.session})


async def nest_session(request: Request) -> JSONResponse:
    request.session.setdefault("nested", {}).setdefault("list", []).append((1, "two"))
    request.session["touched"] = True
    return JSONResponse({"session": request.session})


async def pop_session(request: Request) -> JSONResponse:
    request.session.popitem()
    return JSONResponse({"session": request.session})


async def clear_session(request: Request) -> JSONResponse:
    request.session.clear()
    return JSONResponse({"session": request.session})


async def swap_session(request: Request) -> JSONResponse:
    request.session.clear()
    request.session["fresh"] = True
    return JSONResponse({"session": request.session})


def no_session(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


ENDPOINTS: Final[dict[str, Any]] = {
    "/view": view_session,
    "/update": update_session,
    "/merge": merge_session,
    "/nest": nest_session,
    "/pop": pop_session,
    "/clear": clear_session,
    "/swap": swap_session,
    "/none": no_session,
}


def starlette_application(middleware: Middleware, endpoints: dict[str, Any] = ENDPOINTS) -> Starlette:
    routes = [Route(path, endpoint, methods=["GET", "POST"]) for path, endpoint in endpoints.items()]
    return Starlette(routes=routes, middleware=[middleware])


def application(sessions: WebSessions[Any], **more: Any) -> Starlette:
    middleware = Middleware(SessionMiddleware, sessions=sessions)
    return starlette_application(middleware, ENDPOINTS | {f"/{name}": endpoint for name, endpoint in more.items()})


Served = Callable[[], AbstractAsyncContextManager[Browser]]


@pytest.fixture(params=["starlette", "memory", "sqlite", "nemesisdb"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Served:
    """Serves one application with Starlette's middleware, and with ours on several stores."""

    nemesisdb = request.getfixturevalue("nemesisdb_client") if request.param == "nemesisdb" else None

    @asynccontextmanager
    async def serve() -> AsyncIterator[Browser]:
        if request.param == "starlette":
            app = starlette_application(Middleware(StarlettesMiddleware, secret_key="secret", https_only=True))
            async with Browser(app) as browser:
                yield browser
            return
        stores: dict[str, NdbClient | str] = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/sessions.db"}
        sessions = WebSessions(nemesisdb or stores[request.param], FreeSession)
        async with sessions.lifespan(), Browser(application(sessions)) as browser:
            yield browser

    return serve


async def test_values_are_kept_until_the_session_is_cleared(served: Served) -> None:
    async with served() as browser:
        assert (await browser.get("/view")).json() == {"session": {}}
        updated = await browser.post("/update", json={"some": "data"})
        assert updated.json() == {"session": {"some": "data"}}
        assert "Max-Age=" in (set_cookie(updated) or "")
        assert (await browser.get("/view")).json() == {"session": {"some": "data"}}
        assert (await browser.post("/pop")).json() == {"session": {}}
        assert (await browser.get("/view")).json() == {"session": {}}
        assert (await browser.post("/merge", json={"more": [1, {"a": None}], "b": 1})).status_code == 200
        assert (await browser.get("/view")).json() == {"session": {"more": [1, {"a": None}], "b": 1}}
        cleared = await browser.post("/clear")
        assert cleared.json() == {"session": {}}
        assert set_cookie(cleared) is not None
        assert not [*browser.cookies.jar]
        assert (await browser.get("/view")).json() == {"session": {}}


async def test_a_session_that_is_cleared_and_filled_again_stays(served: Served) -> None:
    async with served() as browser:
        await browser.post("/update", json={"old": 1})
        await browser.post("/swap")
        assert (await browser.get("/view")).json() == {"session": {"fresh": True}}


async def test_nested_values_come_back_as_json_has_them(served: Served) -> None:
    async with served() as browser:
        await browser.post("/nest")
        await browser.post("/nest")
        expected = {"nested": {"list": [[1, "two"], [1, "two"]]}, "touched": True}
        assert (await browser.get("/view")).json() == {"session": expected}


async def test_only_changes_set_a_cookie_and_only_uses_vary_by_it(served: Served) -> None:
    async with served() as browser:
        viewed = await browser.get("/view")
        assert set_cookie(viewed) is None
        assert viewed.headers["vary"] == "Cookie"
        updated = await browser.post("/update", json={"a": 1})
        assert set_cookie(updated) is not None
        assert updated.headers["vary"] == "Cookie"
        viewed = await browser.get("/view")
        assert set_cookie(viewed) is None
        assert viewed.headers["vary"] == "Cookie"
        unused = await browser.get("/none")
        assert (set_cookie(unused), unused.headers.get("vary"), unused.headers.get("cache-control")) == (None,) * 3


async def test_an_invalid_cookie_is_no_session(served: Served) -> None:
    async with served() as browser:
        for name in ("session", "__Host-session"):
            browser.cookies.set(name, "invalid", domain="shop.example")
        assert (await browser.get("/view")).json() == {"session": {}}


# Ours alone


async def test_a_nested_change_alone_is_stored() -> None:
    sessions = WebSessions("memory://", FreeSession)

    async def append(request: Request) -> Response:
        request.session["list"].append(1)
        return Response()

    async with sessions.lifespan(), Browser(application(sessions, append=append)) as browser:
        await browser.post("/update", json={"list": []})
        await browser.post("/append")
        await browser.post("/append")
        assert (await browser.get("/view")).json() == {"session": {"list": [1, 1]}}


async def test_requests_at_the_same_time_keep_each_others_changes() -> None:
    sessions = WebSessions("memory://", FreeSession)
    async with (
        sessions.lifespan(),
        Browser(application(sessions)) as one,
    ):
        await one.post("/update", json={"start": 0})
        held: list[Message] = []

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            request = Request(scope)
            request.session["slow"] = 1
            await one.post("/update", json={"quick": 2})
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        async def send(message: Message) -> None:
            held.append(message)

        cookie = f"__Host-session={one.cookie}".encode()
        scope = {"type": "http", "method": "GET", "scheme": "https", "path": "/", "headers": [(b"cookie", cookie)]}
        await SessionMiddleware(slow, sessions)(scope, no_body, send)
        assert (await one.get("/view")).json() == {"session": {"start": 0, "slow": 1, "quick": 2}}


async def no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def test_a_visitor_who_only_reads_costs_no_session(client: NdbClient) -> None:
    sessions = WebSessions(client, FreeSession)
    async with Browser(application(sessions)) as browser:
        for path in ("/view", "/none", "/clear"):
            assert set_cookie(await browser.post(path)) in (None, set_cookie(await browser.post(path)))
        assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_session_that_was_emptied_has_ended(client: NdbClient) -> None:
    sessions = WebSessions(client, FreeSession)
    async with Browser(application(sessions)) as browser:
        await browser.post("/update", json={"a": 1})
        kept = browser.cookie
        assert (await client.sh_info_all())["totalSessions"] == 1
        await browser.post("/clear")
        assert (await client.sh_info_all())["totalSessions"] == 0
        browser.cookie = kept
        assert (await browser.get("/view")).json() == {"session": {}}


async def test_fields_and_their_types_are_those_of_the_class() -> None:
    sessions = WebSessions("memory://", TypedSession, request_session=True)
    async with (
        sessions.lifespan(),
        Browser(application(sessions)) as browser,
    ):
        assert (await browser.post("/update", json={"visits": 1, "cart": {"apple": 1}})).status_code == 200
        assert (await browser.get("/view")).json() == {"session": {"visits": 1, "cart": {"apple": 1}}}
        assert (await browser.post("/update", json={"visits": "many"})).status_code == 500
        assert (await browser.post("/update", json={"unknown": 1})).status_code == 500
        assert (await browser.get("/view")).json() == {"session": {"visits": 1, "cart": {"apple": 1}}}


async def test_a_new_user_in_the_dict_gets_a_new_cookie() -> None:
    sessions = WebSessions("memory://", TypedSession, request_session=True)
    async with (
        sessions.lifespan(),
        Browser(application(sessions)) as browser,
    ):
        await browser.post("/update", json={"visits": 1})
        before = browser.cookie
        await browser.post("/update", json={"user": 7})
        assert browser.cookie != before
        browser.cookie = before
        assert (await browser.get("/view")).json() == {"session": {}}


async def test_a_dependency_and_the_dict_are_one_session() -> None:
    sessions = WebSessions("memory://", TypedSession, request_session=True)
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(SessionMiddleware, sessions=sessions)

    @app.post("/login")
    async def login(request: Request) -> Any:
        request.session["visits"] = 5  # of a visitor who then logs in: the login begins anew
        await sessions.login(request, TypedSession(user=7))
        request.session["cart"] = {"apple": 1}
        return request.session

    @app.post("/both")
    async def both(request: Request, session: Annotated[TypedSession, Depends(sessions.current)]) -> Any:
        session.cart["pear"] = 1
        request.session["cart"]["plum"] = request.session["cart"]["pear"] + 1
        return {**session.cart}

    @app.post("/logout")
    async def logout(request: Request) -> Any:
        await sessions.logout(request)
        return request.session

    async with sessions.lifespan(), Browser(app) as browser:
        assert (await browser.post("/login")).json() == {"user": 7, "cart": {"apple": 1}}
        assert (await browser.post("/both")).json() == {"apple": 1, "pear": 1, "plum": 2}
        assert (await browser.post("/both")).json() == {"apple": 1, "pear": 1, "plum": 2}
        assert (await browser.post("/logout")).json() == {}
        assert browser.cookie is None
        assert (await browser.post("/both")).status_code == 401


async def test_a_session_that_does_not_fit_the_class_is_refused_and_nothing_begins(client: NdbClient) -> None:
    sessions = WebSessions(client, NamedSession)
    app = application(sessions)
    async with Browser(app, raises=True) as browser:
        with pytest.raises(UnstorableError, match="name"):
            await browser.post("/update", json={"other": 1})
        assert browser.cookie is None
        assert await Repository(client, NamedSession).find(name="ada") == []
        assert (await browser.post("/update", json={"name": "ada", "other": 1})).status_code == 200
        assert (await browser.get("/view")).json() == {"session": {"name": "ada", "other": 1}}


async def test_what_a_failed_request_wrote_is_not_stored() -> None:
    async def fail(request: Request) -> Response:
        request.session["failed"] = 1
        return PlainTextResponse("no", 422)

    async def crash(request: Request) -> Response:
        request.session["crashed"] = 1
        raise ZeroDivisionError

    for sessions, expected in (
        (WebSessions("memory://", FreeSession), {}),
        (WebSessions("memory://", FreeSession, save_if=lambda status: status < 500), {"failed": 1}),
    ):
        app = application(sessions, fail=fail, crash=crash)
        async with sessions.lifespan(), Browser(app, raises=True) as browser:
            assert (await browser.post("/fail")).status_code == 422
            with pytest.raises(ZeroDivisionError):
                await browser.post("/crash")
            assert (await browser.get("/view")).json() == {"session": expected}


async def test_what_is_written_after_the_answer_has_begun_is_an_error_by_name() -> None:
    sessions = WebSessions("memory://", FreeSession)

    async def background(request: Request) -> Response:
        return Response(background=BackgroundTask(request.session.__setitem__, "late", 1))

    async def stream(request: Request) -> Response:
        async def parts() -> AsyncIterator[str]:
            yield "a"
            request.session["late"] = 1
            yield "b"

        return StreamingResponse(parts())

    app = application(sessions, background=background, stream=stream)
    async with sessions.lifespan(), Browser(app, raises=True) as browser:
        for _ in range(2):  # without a session, and with one
            for path in ("/background", "/stream"):
                with pytest.raises(ChangedTooLateError, match="late"):
                    await browser.post(path)
            assert "late" not in (await browser.get("/view")).json()["session"]
            await browser.post("/update", json={"a": 1})


async def test_another_site_cannot_have_a_visitor_get_a_session() -> None:
    sessions = WebSessions("memory://", FreeSession)
    async with (
        sessions.lifespan(),
        Browser(application(sessions)) as browser,
    ):
        headers = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
        refused = await browser.post("/update", json={"user": "mallory"}, headers=headers)
        assert refused.status_code == 403
        assert set_cookie(refused) is None
        assert (await browser.post("/view", headers=headers)).status_code == 200


async def test_requests_without_a_cookie_cause_no_traffic_and_those_with_one_read_once(
    client: NdbClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = WebSessions(client, FreeSession)
    reads: list[str | None] = []
    real = sessions.repo.opened_by

    async def counting(text: str | None, **options: bool) -> Any:
        reads.append(text)
        return await real(text, **options)

    monkeypatch.setattr(sessions.repo, "opened_by", counting)
    async with Browser(application(sessions)) as browser:
        await browser.get("/none")
        assert reads == []
        await browser.post("/update", json={"a": 1})
        reads.clear()
        await browser.get("/view")
        await browser.get("/none")
        assert reads == [browser.cookie] * 2


async def test_while_the_store_is_away_requests_with_a_cookie_are_answered_503() -> None:
    server = NdbServer(Engine(MemoryStore()), ServerOptions(port=0))
    await server.start()
    async with (
        NdbClient.connect(server.uri, connect_wait=0.1) as client,
        Browser(application(WebSessions(client, FreeSession))) as browser,
    ):
        await browser.post("/update", json={"a": 1})
        await server.stop()
        away = await browser.get("/none")
        assert (away.status_code, set_cookie(away)) == (503, None)
        assert "retry-after" in away.headers
        browser.cookie = None
        assert (await browser.get("/none")).status_code == 200
        assert (await browser.post("/update", json={"a": 1})).status_code == 503


async def test_a_websocket_has_the_session_too() -> None:
    sessions = WebSessions("memory://", FreeSession)

    async def socket(websocket: WebSocket) -> None:
        websocket.session["socket"] = 1
        await websocket.accept()
        await websocket.send_json(websocket.session)
        await websocket.close()

    routes = [Route("/update", update_session, methods=["POST"]), Route("/view", view_session)]
    app = Starlette(
        routes=[*routes, WebSocketRoute("/ws", socket)], middleware=[Middleware(SessionMiddleware, sessions=sessions)]
    )
    async with sessions.lifespan(), Browser(app) as browser:
        await browser.post("/update", json={"a": 1})
        sent = await socket_messages(app, browser.cookie)
        assert json.loads(sent[1]["text"]) == {"a": 1, "socket": 1}
        assert (await browser.get("/view")).json() == {"session": {"a": 1, "socket": 1}}


async def socket_messages(app: ASGIApp, cookie: str | None) -> list[Message]:
    """Return what an application sends to a WebSocket that says nothing."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"shop.example"), (b"cookie", f"__Host-session={cookie}".encode())]
    scope = {"type": "websocket", "scheme": "wss", "path": "/ws", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    return sent


# Where it is not wanted


async def test_it_is_there_for_open_classes_and_where_it_is_asked_for() -> None:
    assert WebSessions("memory://", FreeSession).viewed is not None
    assert WebSessions("memory://", FreeSession, request_session=False).viewed is None
    assert WebSessions("memory://", TypedSession).viewed is None
    assert WebSessions("memory://", TypedSession, request_session=True).viewed is not None
    with pytest.raises(InvalidArgumentError, match="request_session="):
        WebSessions("memory://", TypedSession, request_session="yes")  # type: ignore[arg-type]  # the mistake


async def test_elsewhere_its_use_is_an_error_that_names_the_option() -> None:
    sessions = WebSessions("memory://", TypedSession)
    uses: list[Callable[[Request], object]] = [
        lambda request: request.session,
        lambda request: request.scope["session"]["a"],
        lambda request: "a" in request.scope["session"],
        lambda request: request.scope["session"].get("a"),
        lambda request: {**request.scope["session"]},
    ]
    for use in uses:
        app = application(sessions, use=partial(use))
        async with sessions.lifespan(), Browser(app, raises=True) as browser:
            with pytest.raises(InvalidArgumentError, match="request_session=True"):
                await browser.get("/use")


async def test_the_dict_of_another_middleware_is_left_alone() -> None:
    sessions = WebSessions("memory://", TypedSession)
    inner = application(sessions)
    outer = StarlettesMiddleware(inner, "secret", https_only=True)
    async with sessions.lifespan(), Browser(outer) as browser:
        await browser.post("/update", json={"a": 1})
        assert (await browser.get("/view")).json() == {"session": {"a": 1}}


async def test_no_value_of_a_session_gets_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    sessions = WebSessions("memory://", TypedSession, request_session=True)
    async with (
        sessions.lifespan(),
        Browser(application(sessions)) as browser,
    ):
        with caplog.at_level(logging.DEBUG, "ndb_models"):
            await browser.post("/update", json={"cart": {"canary": "canary"}})
            await browser.post("/update", json={"canary": 1})
    assert "canary" not in "".join(record.getMessage() for record in caplog.records if record.name != "httpx")
