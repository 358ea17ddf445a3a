"""What a request costs beside the work of the application: requests to the store, and garbage."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator

import pytest
from starlette.requests import Request

from ndb_models import Expiry, NdbClient, SessionModel
from ndb_models.errors import InvalidArgumentError
from ndb_models.testing import MovableClock
from ndb_models.web import SessionMiddleware, WebSessions
from tests.repository.recording import RecordingEngine
from tests.web.applications import Shopper, application, shop
from tests.web.browsers import Browser


class Reader(SessionModel, schema="web.reader", expiry=Expiry(idle=1800, on="read")):
    """A session that writes do not extend."""

    pages: int = 0


class Idle(SessionModel, schema="web.idle", expiry=Expiry(idle=600)):
    """A session that ends after ten minutes without use."""

    pages: int = 0


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Keep garbage that reference counts do not free."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def asked(engine: RecordingEngine, client: NdbClient) -> list[str]:
    """Return the commands that came. A request that no one waits for may be sent just after the answer."""
    for _ in range(2):
        await client.sv_info()
    names = [next(iter(json.loads(frame))) for frame in engine.frames]
    return [name for name in names if not name.startswith(("SV_INFO", "SH_FENCE"))]


async def test_a_request_that_saves_asks_the_store_twice(engine: RecordingEngine, watched: NdbClient) -> None:
    sessions = WebSessions(watched, Shopper)
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        engine.frames.clear()
        await browser.post("/add?item=apple")
        assert await asked(engine, watched) == ["SH_PEEK", "SH_CHANGE"]


async def test_a_request_that_only_reads_restarts_the_idle_time_by_a_request_of_its_own(
    engine: RecordingEngine, watched: NdbClient
) -> None:
    sessions = WebSessions(watched, Shopper)
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        engine.frames.clear()
        await browser.get("/cart")
        assert await asked(engine, watched) == ["SH_PEEK", "SH_GET"]


async def test_later_requests_with_the_cookie_read_and_restart_the_idle_time_at_once(
    engine: RecordingEngine, watched: NdbClient
) -> None:
    sessions = WebSessions(watched, Shopper)
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        await browser.get("/cart")
        await asked(engine, watched)
        for method, path, expected in (
            ("GET", "/cart", ["SH_GET"]),
            ("POST", "/add?item=apple", ["SH_GET", "SH_CHANGE"]),
            ("GET", "/cart", ["SH_GET"]),
        ):
            engine.frames.clear()
            assert (await browser.request(method, path)).status_code == 200
            assert await asked(engine, watched) == expected


class TestWhereLooksCostLess:
    """A request that may change its session only looks at it: its save restarts the idle time."""

    @pytest.fixture
    def watched(self, watched: NdbClient) -> NdbClient:
        watched.prefers_looks = True
        return watched

    async def test_a_request_that_saves_looks_and_one_that_reads_restarts_the_idle_time(
        self, engine: RecordingEngine, watched: NdbClient
    ) -> None:
        async with Browser(shop(WebSessions(watched, Shopper))) as browser:
            await browser.post("/login")
            await browser.get("/cart")
            await browser.get("/cart")
            await asked(engine, watched)
            for method, path, expected in (
                ("POST", "/add?item=apple", ["SH_PEEK", "SH_CHANGE"]),
                ("GET", "/cart", ["SH_GET"]),
                ("POST", "/cart", ["SH_PEEK", "SH_GET"]),
            ):
                engine.frames.clear()
                assert (await browser.request(method, path)).status_code == 200
                assert await asked(engine, watched) == expected

    async def test_it_does_so_only_while_half_of_the_idle_time_is_left(
        self, time: MovableClock, engine: RecordingEngine, watched: NdbClient
    ) -> None:
        sessions = WebSessions(watched, Idle)

        async def begin(request: Request) -> None:
            await sessions.login(request, Idle())

        async def turn(request: Request) -> None:
            (await sessions.current(request)).pages += request.method == "POST"

        async with Browser(application(sessions, begin, turn)) as browser:
            await browser.post("/begin")
            await browser.get("/turn")
            await browser.get("/turn")
            for seconds, read in ((299, "SH_PEEK"), (1, "SH_GET"), (299, "SH_PEEK"), (299, "SH_GET")):
                time.advance(seconds)
                await asked(engine, watched)
                engine.frames.clear()
                assert (await browser.post("/turn")).status_code == 200
                commands = await asked(engine, watched)
                assert commands[:2] == [read, "SH_SET"]  # besides, an old cookie is replaced


async def test_a_request_that_fails_restarts_the_idle_time_too(engine: RecordingEngine, watched: NdbClient) -> None:
    sessions = WebSessions(watched, Shopper)

    async def broken(request: Request) -> None:
        (await sessions.current(request)).note = "lost"
        raise RuntimeError

    async with Browser(shop(sessions, broken)) as browser:
        await browser.post("/login")
        engine.frames.clear()
        assert (await browser.get("/broken")).status_code == 500
        assert await asked(engine, watched) == ["SH_PEEK", "SH_GET"]


async def test_a_save_that_extends_nothing_does_not_stand_for_the_use(
    engine: RecordingEngine, watched: NdbClient
) -> None:
    sessions = WebSessions(watched, Reader)

    async def begin(request: Request) -> None:
        await sessions.login(request, Reader())

    async def turn(request: Request) -> None:
        (await sessions.current(request)).pages += 1

    async with Browser(application(sessions, begin, turn)) as browser:
        await browser.post("/begin")
        engine.frames.clear()
        await browser.post("/turn")
        assert await asked(engine, watched) == ["SH_PEEK", "SH_SET", "SH_GET"]


async def test_a_request_leaves_nothing_for_the_garbage_collector(
    sessions: WebSessions[Shopper], without_collector: None
) -> None:
    seen: list[weakref.ref[Shopper]] = []

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        session = await sessions.login(Request(scope), Shopper())
        seen.append(weakref.ref(session))
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(message: object) -> None:
        pass

    scope = {"type": "http", "method": "POST", "scheme": "https", "path": "/", "headers": []}
    await SessionMiddleware(app, sessions=sessions)(scope, receive, send)  # type: ignore[arg-type]
    assert [ref() for ref in seen] == [None]


async def test_the_session_of_a_request_that_is_over_cannot_be_asked_for(sessions: WebSessions[Shopper]) -> None:
    kept: list[Request] = []

    async def keep(request: Request) -> None:
        kept.append(request)

    async with Browser(application(sessions, keep)) as browser:
        await browser.get("/keep")
    with pytest.raises(InvalidArgumentError, match="the request is over"):
        await sessions.optional(kept[0])
