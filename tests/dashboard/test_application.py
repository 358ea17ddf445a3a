"""The page as an ASGI application, alone and mounted: the application says who is an admin."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from ndb_models import InvalidArgumentError, NdbClient, Repository
from ndb_models.dashboard import Dashboard
from ndb_models.dashboard.application import Scope
from tests.dashboard.calls import CALLS, METHODS
from tests.dashboard.models import Ticket, Visitor

FILES = ("", "dashboard.css", "dashboard.js", "charts.js", "icon.svg")


def by_header(scope: Scope) -> str | None:
    """Allow whoever says so. An application asks its own session."""
    return {b"ada": "Ada", b"": ""}.get(dict(scope["headers"]).get(b"x-user", b"-"))


def mounted(dashboard: Dashboard) -> Starlette:
    async def home(_: object) -> PlainTextResponse:
        return PlainTextResponse("home")

    return Starlette(routes=[Mount("/admin/sessions", dashboard), Route("/", home)])


@asynccontextmanager
async def person(app: Any, name: str | None = "ada") -> AsyncIterator[httpx.AsyncClient]:
    headers = {} if name is None else {"X-User": name}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.test", headers=headers) as browser:
        yield browser


async def call(browser: httpx.AsyncClient, name: str, *, at: str = "/admin/sessions", **arguments: Any) -> Any:
    """Make a call that succeeds."""
    answer = await attempt(browser, name, at=at, **arguments)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def attempt(
    browser: httpx.AsyncClient, name: str, *, at: str = "/admin/sessions", **arguments: Any
) -> httpx.Response:
    headers = {"NDB-Dashboard": quote(json.dumps(arguments)), "Sec-Fetch-Site": "same-origin"}
    return await browser.request(METHODS.get(name, "GET"), f"{at}/api/{name}", headers=headers)


@pytest.fixture
async def client() -> AsyncIterator[NdbClient]:
    async with NdbClient.connect("memory://") as client:
        yield client


async def test_whoever_is_not_allowed_gets_nothing_at_all(client: NdbClient) -> None:
    repo = Repository(client, Visitor)
    await repo.save(Visitor(user_id=7))
    async with person(mounted(Dashboard(repo, allow=by_header)), None) as browser:
        for name in (None, "eve", ""):
            browser.headers["X-User"] = name or "-"
            for path in (*FILES, *(f"api/{each}" for each in CALLS), "nothing"):
                answer = await browser.request(METHODS.get(path[4:], "GET"), f"/admin/sessions/{path}")
                assert (answer.status_code, answer.json()) == (403, {"message": "This page is for admins."})
        assert (await browser.get("/")).text == "home"


@pytest.mark.parametrize("answer", [None, False, "", 0, 1, [1], object()])
async def test_only_true_and_a_name_let_someone_in(answer: Any, client: NdbClient) -> None:
    async def allow(_: Scope) -> Any:
        return answer

    async with person(Dashboard(client, allow=allow)) as browser:
        assert (await browser.get("/")).status_code == 403


async def test_an_error_of_the_application_is_its_own_and_shows_nothing(client: NdbClient) -> None:
    def allow(_: Scope) -> bool:
        raise RuntimeError("the store of the application is away")

    async with person(Dashboard(client, allow=allow)) as browser:
        with pytest.raises(RuntimeError, match="away"):
            await browser.get("/api/about")


async def test_the_page_is_found_below_its_mount_and_by_itself(client: NdbClient) -> None:
    dashboard = Dashboard(client, allow=lambda _: True)
    for app, at in ((mounted(dashboard), "/admin/sessions"), (dashboard, "")):
        async with person(app) as browser:
            for path in FILES:
                answer = await browser.get(f"{at}/{path}")
                assert answer.status_code == 200
                assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert (await browser.head(f"{at}/dashboard.js")).text == ""
            assert (await call(browser, "about", at=at))["login"] is False
            assert (await attempt(browser, "login", at=at)).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sessions", 308),
        ("/sessions/", 200),
        ("/sessions/icon.svg", 200),
        ("/icon.svg", 200),
        ("/sessionsicon.svg", 404),
    ],
)
async def test_a_mount_may_be_part_of_the_path_or_not(path: str, status: int, client: NdbClient) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "root_path": "/sessions", "path": path, "headers": []}
    await Dashboard(client, allow=lambda _: True)(scope, receive, send)
    assert sent[0]["status"] == status
    assert ((b"location", b"/sessions/") in sent[0]["headers"]) is (status == 308)


async def test_a_websocket_is_closed_and_a_lifespan_is_lived(client: NdbClient) -> None:
    dashboard = Dashboard(client, allow=lambda _: True)
    events = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": next(events)}

    await dashboard({"type": "lifespan"}, receive, send)
    events = iter(["websocket.connect"])
    await dashboard({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


async def test_an_application_shows_the_sessions_of_its_repositories_alone(client: NdbClient) -> None:
    shop, other = Repository(client, Visitor, namespace="shop"), Repository(client, Visitor, namespace="other")
    tickets = Repository(client, Ticket)
    mine = await shop.save(Visitor(user_id=7))
    await other.save(Visitor(user_id=7))
    await tickets.save(Ticket(number="1"))
    async with person(mounted(Dashboard([shop, tickets], allow=by_header))) as browser:
        schemas = (await call(browser, "schemas"))["schemas"]
        assert {(each["namespace"], each["name"], each["count"]) for each in schemas} == {
            ("shop", "DashboardVisitor", 1),
            (None, "DashboardTicket", 1),
        }
        (visitors,) = [each for each in schemas if each["namespace"] == "shop"]
        assert visitors["lookups"] == ["user_id", "email"]
        (found,) = (await call(browser, "sessions", schema=visitors["schema"], field="user_id", value="7"))["sessions"]
        assert found["token"] == f"...{str(mine.tkn)[-4:]}"
        revealed = await attempt(browser, "reveal", id=found["id"])
        # The model tells that it is a secret, its name does not.
        assert "the-type-says-so" not in revealed.text


async def test_a_repository_ends_its_sessions_with_its_hooks_and_the_log_names_who(
    client: NdbClient, caplog: pytest.LogCaptureFixture
) -> None:
    repo, ended = Repository(client, Visitor), asyncio.Event()
    repo.on_ended(lambda _: ended.set())
    visitor = await repo.save(Visitor(user_id=7))
    async with person(mounted(Dashboard(repo, allow=by_header, write=True))) as browser:
        (session,) = (await call(browser, "sessions", schema="DashboardVisitor"))["sessions"]
        with caplog.at_level(logging.WARNING):
            assert await call(browser, "end", id=session["id"]) == {"ended": True}
        async with asyncio.timeout(60):
            await ended.wait()
        assert not await repo.exists(visitor.tkn)
        assert await repo.find(user_id=7) == []
    assert f"Ada has ended the session {session['token']} of 'DashboardVisitor'" in caplog.text


async def test_processes_with_one_key_understand_each_other(client: NdbClient) -> None:
    repo = Repository(client, Visitor)
    await repo.save(Visitor(user_id=7))
    key = b"k" * 32
    pages = [Dashboard(repo, allow=by_header, key=each) for each in (key, key, None)]
    async with person(pages[0]) as one, person(pages[1]) as other, person(pages[2]) as stranger:
        (session,) = (await call(one, "sessions", at="", schema="DashboardVisitor"))["sessions"]
        assert (await call(other, "session", at="", id=session["id"]))["token"] == session["token"]
        assert (await attempt(stranger, "session", at="", id=session["id"])).status_code == 404


async def test_figures_are_of_the_store(client: NdbClient) -> None:
    await Repository(client, Ticket).save(Ticket(number="1"))
    async with person(mounted(Dashboard(client, allow=by_header))) as browser:
        about, figures = await call(browser, "about"), await call(browser, "figures", after=0)
        series = {name for chart in about["charts"] for name, _ in chart["series"]}
        assert series == figures["series"].keys() == {"sessions", "keys", "latency"}
        assert figures["series"]["sessions"] == [2]
        assert figures["series"]["latency"][0] > 0


async def test_a_store_that_is_away_is_told_without_its_place(nemesisdb_client: NdbClient) -> None:
    client = NdbClient("ws://127.0.0.1:1/", connect_wait=0.01)
    async with person(Dashboard(client, allow=by_header)) as browser:
        answer = await attempt(browser, "schemas", at="")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json() == {"message": "The store cannot be used now: it gives no answer."}
    async with person(Dashboard(nemesisdb_client, allow=by_header)) as browser:
        assert (await attempt(browser, "schemas", at="")).status_code == 501
    await client.close()


async def test_a_wrong_argument_is_refused(client: NdbClient) -> None:
    repo = Repository(client, Visitor)
    async with NdbClient.connect("memory://") as second:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"store": client, "allow": True}, "allow= is a function"),
            ({"store": "memory://", "allow": by_header}, "a client, or one or more repositories"),
            ({"store": [], "allow": by_header}, "a client, or one or more repositories"),
            ({"store": [repo, client], "allow": by_header}, "a client, or one or more repositories"),
            ({"store": [repo, Repository(second, Ticket)], "allow": by_header}, "have one client"),
            ({"store": client, "allow": by_header, "write": 1}, "write= is True or False"),
            ({"store": client, "allow": by_header, "key": b"short"}, "32 random bytes"),
        ]
        for arguments, expected in wrong:
            with pytest.raises(InvalidArgumentError, match=expected):
                Dashboard(**arguments)
        with pytest.raises(TypeError, match="allow"):
            Dashboard(client)  # type: ignore[call-arg]  # there is no default that lets someone in
