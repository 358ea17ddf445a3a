"""Answers that are lost or late: a new cookie that never arrives logs nobody out."""

import asyncio
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from ndb_models import SessionModel
from ndb_models.web import Principal, SessionMiddleware, WebSessions
from tests.conftest import VirtualClock
from tests.web.browsers import Browser, set_cookie


class LongSession(SessionModel, schema="web.lost-answers"):
    user: Annotated[int | None, Principal()] = None
    role: Annotated[str, Principal()] = "member"


def application(sessions: WebSessions[LongSession]) -> FastAPI:
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(SessionMiddleware, sessions=sessions)

    @app.post("/login")
    async def login(request: Request, user: int) -> None:
        await sessions.login(request, LongSession(user=user))

    @app.post("/promote")
    async def promote(session: Annotated[LongSession, Depends(sessions.current)]) -> None:
        session.role = "admin"

    @app.get("/")
    async def home(session: Annotated[LongSession, Depends(sessions.current)]) -> int | None:
        return session.user

    return app


def renewing(clock: VirtualClock) -> WebSessions[LongSession]:
    return WebSessions("memory://", LongSession, renew_every=600, grace=30, clock=clock)


async def logged_in(browser: Browser) -> str:
    await browser.post("/login?user=7")
    assert browser.cookie is not None
    return browser.cookie


async def status(browser: Browser, cookie: str | None) -> int:
    browser.cookie = cookie
    return (await browser.get("/")).status_code


async def test_a_cookie_works_until_the_browser_shows_its_successor_and_then_for_its_grace(
    clock: VirtualClock,
) -> None:
    sessions = renewing(clock)
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        old = await logged_in(browser)
        clock.move(601)
        await browser.get("/")  # the answer with the new cookie is lost
        new = browser.cookie
        assert new != old
        clock.move(7 * 86400)
        browser.cookie = old
        again = await browser.get("/")
        assert again.status_code == 200
        assert browser.cookie == new  # told again, not made again
        assert await status(browser, new) == 200
        clock.move(29)
        assert await status(browser, old) == 200
        clock.move(2)
        assert await status(browser, old) == 401
        assert await status(browser, new) == 200


async def test_requests_at_the_same_time_are_all_told_the_same_new_cookie(clock: VirtualClock) -> None:
    sessions = renewing(clock)
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        old = await logged_in(browser)
        clock.move(601)
        answers = await asyncio.gather(
            *(browser.get("/", headers={"cookie": f"__Host-session={old}"}) for _ in "12345")
        )
        told = {set_cookie(answer) for answer in answers if set_cookie(answer) is not None}
        assert len(told) == 1
        assert await status(browser, browser.cookie) == 200


async def test_a_new_cookie_is_replaced_in_its_turn_once_it_was_seen(clock: VirtualClock) -> None:
    sessions = renewing(clock)
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        cookies = [await logged_in(browser)]
        for _ in range(3):
            clock.move(601)
            await browser.get("/")
            assert browser.cookie not in cookies
            cookies.append(browser.cookie or "")
            assert set_cookie(await browser.get("/")) is None
        assert [await status(browser, cookie) for cookie in cookies[:2]] == [401, 401]


async def test_the_old_cookie_ends_with_its_grace_after_a_change_of_rights_seen_or_not(clock: VirtualClock) -> None:
    sessions = renewing(clock)
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        old = await logged_in(browser)
        await browser.post("/promote")
        new = browser.cookie
        clock.move(29)
        assert await status(browser, old) == 200
        assert browser.cookie == new
        clock.move(2)
        assert await status(browser, old) == 401
        assert await status(browser, new) == 200


async def test_rights_that_change_by_a_request_with_the_cookie_before_still_renew(clock: VirtualClock) -> None:
    sessions = renewing(clock)
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        old = await logged_in(browser)
        clock.move(601)
        await browser.get("/")
        replaced = browser.cookie
        browser.cookie = old
        await browser.post("/promote")
        assert browser.cookie not in (old, replaced)
        assert (await browser.get("/")).status_code == 200
        assert await status(browser, old) == 401


async def test_a_script_s_late_request_with_a_dead_cookie_does_not_remove_the_new_one() -> None:
    sessions = WebSessions("memory://", LongSession)
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        dead = await logged_in(browser)
        await logged_in(browser)
        sent = {"cookie": f"__Host-session={dead}"}
        late = await browser.get("/", headers={**sent, "sec-fetch-mode": "cors"})
        assert late.status_code == 401
        assert set_cookie(late) is None
        page = await browser.get("/", headers={**sent, "sec-fetch-mode": "navigate"})
        assert "Max-Age=0" in (set_cookie(page) or "")
        assert "Max-Age=0" in (set_cookie(await browser.get("/", headers=sent)) or "")


async def test_grace_is_counted_from_the_first_request_with_the_new_cookie(
    clock: VirtualClock,
) -> None:
    sessions = WebSessions("memory://", LongSession, renew_every=timedelta(hours=1), grace=5, clock=clock)
    async with sessions.lifespan(), Browser(application(sessions)) as browser:
        old = await logged_in(browser)
        clock.move(3601)
        await browser.get("/")
        new = browser.cookie
        assert await status(browser, new) == 200
        clock.move(6)
        assert await status(browser, old) == 401
