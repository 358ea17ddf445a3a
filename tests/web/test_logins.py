"""Logging in and out: which session a browser has, and which cookies are dead."""

import asyncio
from asyncio import FIRST_COMPLETED
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from ndb_models import Expiry, InvalidArgumentError, NdbClient, Repository, SessionGoneError, SessionModel
from ndb_models.server import NdbServer
from ndb_models.web import WebSessions
from tests.repository.recording import RecordingEngine
from tests.web.applications import WEEK, Shopper, application, shop
from tests.web.browsers import Browser, browsers, max_age, set_cookie


async def count(sessions: WebSessions[Any]) -> int:
    """Return how many sessions there are."""
    return len([each async for each in sessions.repo.sessions()])


async def test_the_cookie_from_before_a_login_is_dead_after_it(sessions: WebSessions[Shopper]) -> None:
    async with browsers(shop(sessions)) as (browser, thief):
        await browser.post("/browse")
        thief.cookie = browser.cookie
        assert (await thief.get("/cart")).status_code == 200
        await browser.post("/login")
        assert (await browser.get("/whoami")).json() == 7
        assert (await thief.get("/whoami")).json() is None
        assert (await thief.get("/cart")).status_code == 401


async def test_a_login_in_place_keeps_the_cart_and_kills_the_cookie_at_once(sessions: WebSessions[Shopper]) -> None:
    async with browsers(shop(sessions)) as (browser, thief):
        await browser.post("/browse")
        await browser.post("/add?item=apple")
        thief.cookie = browser.cookie
        await browser.post("/identify?user=9")
        assert ((await browser.get("/whoami")).json(), (await browser.get("/cart")).json()) == (9, {"apple": 1})
        assert (await thief.get("/whoami")).json() is None
        assert (await thief.get("/cart")).status_code == 401
        assert await count(sessions) == 1


async def test_at_no_moment_the_old_cookie_opens_the_logged_in_session(
    engine: RecordingEngine, watched_server: NdbServer
) -> None:
    sessions = WebSessions(watched_server.uri, Shopper)
    async with (
        sessions.lifespan(),
        browsers(shop(sessions)) as (browser, thief),
        NdbClient.connect(watched_server.uri) as client,
    ):
        repo = Repository(client, Shopper)
        await browser.post("/browse")
        thief.cookie = browser.cookie
        asked = asyncio.create_task(browser.post("/identify"))
        seen = []
        while not asked.done():  # stop before each write in turn
            engine.hold("SH_CHANGE", "SH_SET")
            await asyncio.wait(
                [asked, stopped := asyncio.create_task(engine.waiting.wait())], return_when=FIRST_COMPLETED
            )
            seen.append(await repo.authenticate(thief.cookie))
            stopped.cancel()
            engine.release()
        assert len(seen) > 2
        assert seen[0] is not None
        assert {None if session is None else session.user for session in seen} == {None}
        assert seen[-1] is None
        assert (await browser.get("/whoami")).json() == 7


async def test_a_cookie_that_no_one_issued_is_never_adopted(sessions: WebSessions[Shopper]) -> None:
    async with Browser(shop(sessions)) as browser:
        planted = "AAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        browser.cookie = planted
        assert (await browser.post("/add?item=apple")).status_code == 401
        browser.cookie = planted
        await browser.post("/login")
        assert browser.cookie != planted
        browser.cookie = planted
        assert (await browser.get("/whoami")).json() is None


async def test_the_session_before_a_login_is_ended(sessions: WebSessions[Shopper]) -> None:
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login?user=1")
        await browser.post("/login?user=2")
        assert await count(sessions) == 1
        assert [each.user for each in await sessions.repo.find(user=2)] == [2]


@pytest.mark.parametrize("way", ["status", "exception", "nothing"])
async def test_a_login_whose_request_fails_leaves_all_as_it_was(sessions: WebSessions[Shopper], way: str) -> None:
    async def fail(request: Request) -> Response:
        await sessions.login(request, Shopper(user=9))
        if way == "exception":
            raise RuntimeError("no")
        return Response(status_code=400)

    app: Any = shop(sessions, fail)
    async with Browser(app) as browser:
        await browser.post("/login?user=1")
        cookie = browser.cookie
        failed = await browser.post("/fail")
        assert failed.status_code == (400 if way != "exception" else 500)
        assert set_cookie(failed) is None
        assert browser.cookie == cookie
        assert (await browser.get("/whoami")).json() == 1
        assert await count(sessions) == 1
        assert await sessions.repo.find(user=9) == []


async def test_a_login_in_place_whose_request_fails_changes_nothing(sessions: WebSessions[Shopper]) -> None:
    async def fail(request: Request) -> Response:
        session = await sessions.current(request)
        session.user = 9
        await sessions.login(request, session)
        return Response(status_code=422)

    async with Browser(shop(sessions, fail)) as browser:
        await browser.post("/browse")
        assert set_cookie(await browser.post("/fail")) is None
        assert (await browser.get("/cart")).status_code == 200
        assert (await browser.get("/whoami")).json() is None


@pytest.mark.parametrize("held", ["SH_NEW_SET", "SH_CHANGE", "SH_END"])
async def test_a_login_that_is_cancelled_leaves_no_session_behind(
    engine: RecordingEngine, watched_server: NdbServer, held: str
) -> None:
    sessions = WebSessions(watched_server.uri, Shopper)
    async with (
        sessions.lifespan(),
        Browser(shop(sessions)) as browser,
        NdbClient.connect(watched_server.uri) as client,
    ):
        await browser.post("/login?user=1")
        engine.hold(held)
        asked = asyncio.create_task(browser.post("/login?user=9"))
        await engine.waiting.wait()
        asked.cancel()
        await asyncio.wait([asked])
        engine.release()
        repo = Repository(client, Shopper)
        left = await repo.find(user=9)
        for _ in range(500):  # it is ended in the background
            if left:
                await asyncio.sleep(0.01)
                left = await repo.find(user=9)
        assert left == []


async def test_the_last_of_two_logins_in_a_request_counts(sessions: WebSessions[Shopper]) -> None:
    async def twice(request: Request) -> None:
        await sessions.login(request, Shopper(user=1))
        await sessions.login(request, Shopper(user=2))

    async with Browser(shop(sessions, twice)) as browser:
        await browser.post("/twice")
        assert (await browser.get("/whoami")).json() == 2
        assert await count(sessions) == 1


async def test_a_session_that_the_application_stored_itself_can_be_logged_in_with(
    sessions: WebSessions[Shopper],
) -> None:
    async def own(request: Request) -> Response:
        session = await sessions.repo.save(Shopper(user=5))
        await sessions.login(request, session)
        session.cart["apple"] = 1
        return Response(status_code=int(request.query_params["status"]))

    async with Browser(shop(sessions, own)) as browser:
        await browser.post("/own?status=400")
        assert browser.cookie is None
        assert await count(sessions) == 1  # it is the application's
        await browser.post("/own?status=200")
        assert (await browser.get("/cart")).json() == {"apple": 1}


async def test_what_the_application_changes_after_a_login_is_stored_with_it(sessions: WebSessions[Shopper]) -> None:
    async def login_and_add(request: Request) -> bool:
        session = await sessions.login(request, Shopper(user=5))
        session.cart["apple"] = 1
        return await sessions.current(request) is session

    async with Browser(shop(sessions, login_and_add)) as browser:
        assert (await browser.post("/login_and_add")).json() is True
        assert (await browser.get("/cart")).json() == {"apple": 1}


async def test_only_models_of_the_class_can_be_logged_in_with(sessions: WebSessions[Shopper]) -> None:
    class Stranger(SessionModel, schema="web.stranger"):
        pass

    async def wrong(request: Request) -> None:
        with pytest.raises(InvalidArgumentError, match="Shopper"):
            await sessions.login(request, Stranger())  # type: ignore[arg-type]  # what a careless program does
        with pytest.raises(InvalidArgumentError, match="Shopper"):
            await sessions.login(request, {"user": 7})  # type: ignore[arg-type]  # likewise

    async with Browser(shop(sessions, wrong), raises=True) as browser:
        await browser.post("/wrong")
        assert browser.cookie is None


async def test_logging_out_ends_the_session_and_removes_the_cookie(sessions: WebSessions[Shopper]) -> None:
    async with browsers(shop(sessions)) as (browser, copy):
        await browser.post("/login")
        copy.cookie = browser.cookie
        assert (await browser.post("/logout")).json() is True
        assert browser.cookie is None
        assert (await copy.get("/cart")).status_code == 401
        assert await count(sessions) == 0
        assert (await browser.post("/logout")).json() is False


async def test_a_logout_holds_even_if_the_request_fails(sessions: WebSessions[Shopper]) -> None:
    async def fail(request: Request) -> Response:
        session = await sessions.current(request)
        await sessions.logout(request)
        session.cart["x"] = 1
        assert await sessions.optional(request) is None
        return Response(status_code=500)

    async with Browser(shop(sessions, fail)) as browser:
        await browser.post("/login")
        assert (await browser.post("/fail")).status_code == 500
        assert browser.cookie is None
        assert await count(sessions) == 0


async def test_a_login_after_a_logout_in_one_request_counts(sessions: WebSessions[Shopper]) -> None:
    async def switch(request: Request) -> None:
        await sessions.logout(request)
        await sessions.login(request, Shopper(user=2))

    async with Browser(shop(sessions, switch)) as browser:
        await browser.post("/login?user=1")
        await browser.post("/switch")
        assert (await browser.get("/whoami")).json() == 2
        assert await count(sessions) == 1


async def test_a_logout_after_a_login_in_one_request_counts(sessions: WebSessions[Shopper]) -> None:
    async def undecided(request: Request) -> None:
        await sessions.login(request, Shopper(user=2))
        await sessions.logout(request)

    async with Browser(shop(sessions, undecided)) as browser:
        await browser.post("/login?user=1")
        await browser.post("/undecided")
        assert browser.cookie is None
        assert await count(sessions) == 0


SHORT = Expiry(idle=600, absolute=3600)


async def test_a_login_that_is_not_remembered_ends_with_the_browser_and_is_short() -> None:
    sessions = WebSessions("memory://", Shopper, short=SHORT)
    async with sessions.lifespan(), browsers(shop(sessions)) as (short, long):
        logged_in = await short.post("/login")
        assert "Max-Age" not in (set_cookie(logged_in) or "")
        assert "Expires" not in (set_cookie(logged_in) or "")
        await long.post("/login?remember")
        remaining = [await remaining_of(sessions, each) for each in (short, long)]
        assert remaining == [pytest.approx(600, abs=2), pytest.approx(1800, abs=2)]
        assert await deadline_of(sessions, short) == pytest.approx(3600, abs=2)
        assert await deadline_of(sessions, long) == pytest.approx(WEEK.total_seconds(), abs=2)


async def remaining_of(sessions: WebSessions[Shopper], browser: Browser) -> float | None:
    session = await sessions.repo.authenticate(browser.cookie)
    assert session is not None
    return await sessions.repo.ttl(session)


async def deadline_of(sessions: WebSessions[Shopper], browser: Browser) -> float:
    session = await sessions.repo.authenticate(browser.cookie)
    assert session is not None
    described = await sessions.repo.describe(session)
    assert described.deadline is not None
    assert described.used is not None
    return (described.deadline - described.used).total_seconds()


@pytest.mark.parametrize("remember", [False, True])
async def test_a_login_in_place_makes_a_session_short_or_long(remember: bool) -> None:
    sessions = WebSessions("memory://", Shopper, short=SHORT)

    async def begin(request: Request) -> None:
        await sessions.login(request, Shopper(), remember=not remember)

    async with sessions.lifespan(), Browser(shop(sessions, begin)) as browser:
        await browser.post("/begin")
        await browser.post("/add?item=apple")
        logged_in = await browser.post("/identify" + ("?remember" if remember else ""))
        seconds = max_age(logged_in)
        assert seconds == (pytest.approx(WEEK.total_seconds(), abs=2) if remember else None)
        assert await remaining_of(sessions, browser) == pytest.approx(1800 if remember else 600, abs=2)
        assert (await browser.get("/cart")).json() == {"apple": 1}


@pytest.mark.parametrize("remember", [False, True])
async def test_a_login_that_says_nothing_of_it_leaves_a_session_short_or_long(remember: bool) -> None:
    sessions = WebSessions("memory://", Shopper, short=SHORT)

    async def confirm(request: Request) -> None:
        session = await sessions.current(request)
        await sessions.login(request, session)
        await sessions.login(request, session)

    async with sessions.lifespan(), Browser(shop(sessions, confirm)) as browser:
        await browser.post("/login" + ("?remember" if remember else ""))
        before = browser.cookie
        seconds = max_age(await browser.post("/confirm"))
        assert browser.cookie != before
        assert seconds == (pytest.approx(WEEK.total_seconds(), abs=2) if remember else None)
        assert await remaining_of(sessions, browser) == pytest.approx(1800 if remember else 600, abs=2)


async def test_a_new_session_is_short_unless_the_login_says_otherwise() -> None:
    """Also if the one before was remembered: the next user has not asked for it."""
    sessions = WebSessions("memory://", Shopper, short=SHORT)

    async def switch(request: Request) -> None:
        await sessions.login(request, Shopper(user=8))

    async with sessions.lifespan(), Browser(shop(sessions, switch)) as browser:
        await browser.post("/login?remember")
        assert max_age(await browser.post("/switch")) is None
        assert await remaining_of(sessions, browser) == pytest.approx(600, abs=2)


async def test_a_visitor_whose_session_has_no_user_is_not_logged_in(sessions: WebSessions[Shopper]) -> None:
    async def orders(request: Request) -> int | None:
        return (await sessions.logged_in(request)).user

    fresh = sessions.require_fresh(minutes=10)

    async def pay(request: Request) -> int | None:
        return (await fresh(request)).user

    async with Browser(shop(sessions, orders, pay)) as browser:
        assert (await browser.get("/orders")).status_code == 401
        await browser.post("/browse")
        assert [(await browser.get(path)).status_code for path in ("/cart", "/orders", "/pay")] == [200, 401, 401]
        await browser.post("/identify?user=7")
        assert [(await browser.get(path)).json() for path in ("/orders", "/pay")] == [7, 7]


async def test_a_session_with_data_that_does_not_fit_counts_as_none_and_keeps_its_cookie(
    sessions: WebSessions[Shopper], caplog: pytest.LogCaptureFixture
) -> None:
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        session = await sessions.repo.authenticate(browser.cookie)
        assert session is not None
        await sessions.client.sh_set({"cart": "full"}, session.tkn)
        cookie = browser.cookie
        answer = await browser.get("/cart")
        assert answer.status_code == 401
        assert browser.cookie == cookie
        assert "cannot be used" in caplog.text
        assert "full" not in caplog.text
        await browser.post("/login?user=2")
        assert (await browser.get("/whoami")).json() == 2


async def test_a_login_that_another_request_ends_meanwhile_is_no_login(sessions: WebSessions[Shopper]) -> None:
    async def doomed(request: Request) -> None:
        session = await sessions.login(request, Shopper(user=9))
        await sessions.repo.delete(session.tkn)
        with pytest.raises(SessionGoneError):
            await sessions.repo.get(session.tkn)

    async with Browser(shop(sessions, doomed)) as browser:
        await browser.post("/login?user=1")
        assert (await browser.post("/doomed")).status_code == 401
        assert (await browser.get("/whoami")).json() == 1


async def test_an_answer_with_a_bad_cookie_does_not_undo_a_login_that_ran_at_the_same_time(
    sessions: WebSessions[Shopper],
) -> None:
    async with browsers(shop(sessions)) as (browser, same):
        await browser.post("/browse")
        same.cookie = browser.cookie
        await browser.post("/login")
        script = await same.get("/whoami", headers={"sec-fetch-mode": "cors"})  # it was sent before the login
        assert set_cookie(script) is None
        page = await same.get("/whoami", headers={"sec-fetch-mode": "navigate"})
        assert "Max-Age=0" in (set_cookie(page) or "")


async def test_sessions_without_the_middleware_say_what_is_missing(sessions: WebSessions[Shopper]) -> None:
    other = WebSessions("memory://", Shopper)

    async def ask(request: Request) -> None:
        with pytest.raises(InvalidArgumentError, match="add_middleware"):
            await other.current(request)

    async with Browser(application(sessions, ask), raises=True) as browser:
        await browser.get("/ask")
