"""When a browser gets a new cookie, and that it never ends up with a dead one."""

import asyncio
import itertools
import json
from datetime import timedelta
from typing import Annotated, Any

import pytest
from starlette.requests import Request

from ndb_models import Expiry, SessionModel
from ndb_models.testing import MovableClock
from ndb_models.web import Principal, WebSessions
from tests.web.applications import WEEK, Shop, Shopper, application, shop
from tests.web.browsers import Browser, browsers, max_age, set_cookie

GRACE = 30


async def test_a_new_role_renews_the_cookie_and_requests_under_way_survive(
    sessions: WebSessions[Shopper], time: MovableClock
) -> None:
    async with browsers(shop(sessions)) as (browser, before):
        await browser.post("/login")
        before.cookie = old = browser.cookie
        await browser.post("/promote")
        assert browser.cookie != old
        time.advance(GRACE - 1)
        assert (await before.get("/cart")).status_code == 200
        time.advance(2)
        before.cookie = old
        assert (await before.get("/cart")).status_code == 401
        assert (await browser.get("/cart")).status_code == 200


async def test_another_user_kills_the_cookie_at_once(sessions: WebSessions[Shopper]) -> None:
    async def switch(request: Request) -> None:
        (await sessions.current(request)).user = 8  # without a word of a login

    async with browsers(shop(sessions, switch)) as (browser, before):
        await browser.post("/login")
        before.cookie = browser.cookie
        await browser.post("/switch")
        assert (await browser.get("/whoami")).json() == 8
        assert (await before.get("/cart")).status_code == 401


@pytest.mark.parametrize("verb", ["save", "update", "edit"])
async def test_a_role_that_the_application_stores_itself_renews_too(sessions: WebSessions[Shopper], verb: str) -> None:
    async def promote_itself(request: Request) -> None:
        session = await sessions.current(request)
        if verb == "save":
            session.role = "admin"
            await sessions.repo.save(session)
            return
        if verb == "update":
            await sessions.repo.update(session.tkn, role="admin")
        else:
            async with sessions.repo.edit(session.tkn) as edited:
                edited.role = "admin"
        await sessions.repo.refresh(session)

    async with Browser(shop(sessions, promote_itself)) as browser:
        await browser.post("/login")
        cookie = browser.cookie
        await browser.post("/promote_itself")
        assert browser.cookie != cookie


async def test_other_changes_leave_the_cookie_alone(sessions: WebSessions[Shopper]) -> None:
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        assert set_cookie(await browser.post("/add?item=apple")) is None


async def test_the_application_may_ask_for_a_new_cookie(sessions: WebSessions[Shopper], time: MovableClock) -> None:
    async def renew(request: Request) -> None:
        await sessions.renew(request)

    async with browsers(shop(sessions, renew)) as (browser, before):
        await browser.post("/login")
        before.cookie = old = browser.cookie
        await browser.post("/renew")
        assert browser.cookie != old
        assert (await before.get("/cart")).status_code == 200
        time.advance(GRACE + 1)
        before.cookie = old
        assert (await before.get("/cart")).status_code == 401


async def test_a_cookie_is_renewed_by_age(time: MovableClock) -> None:
    sessions = WebSessions("memory://", Shopper, renew_every=timedelta(minutes=15))
    async with sessions.lifespan(), browsers(shop(sessions)) as (browser, before):
        await browser.post("/login")
        old = browser.cookie
        time.advance(timedelta(minutes=14))
        assert set_cookie(await browser.get("/cart")) is None
        time.advance(timedelta(minutes=1))
        assert max_age(await browser.get("/cart")) == pytest.approx(WEEK.total_seconds() - 900, abs=2)
        assert set_cookie(await browser.get("/cart")) is None  # the new one is seen
        before.cookie = old
        assert (await before.get("/cart")).status_code == 200
        time.advance(GRACE + 1)
        assert (await before.get("/cart")).status_code == 401
        assert (await browser.get("/cart")).status_code == 200


ORDERS = [*itertools.permutations(range(3))]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("way", ["age", "role"])
async def test_whichever_answer_comes_last_the_browser_has_a_live_cookie(
    time: MovableClock, way: str, order: tuple[int, ...]
) -> None:
    sessions = WebSessions("memory://", Shopper, renew_every=900 if way == "age" else None)
    gate = asyncio.Barrier(3)

    async def change(request: Request) -> None:
        session = await sessions.current(request)
        await gate.wait()
        if way == "role":
            session.role += "+"
        session.cart[request.query_params["n"]] = 1

    async with sessions.lifespan(), browsers(shop(sessions, change)) as (browser, sender):
        await browser.post("/login")
        sender.cookie = browser.cookie
        time.advance(900)
        answers = await asyncio.gather(*(sender.post(f"/change?n={n}") for n in range(3)))
        assert {answer.status_code for answer in answers} == {200}
        brought = [set_cookie(answers[n]) for n in order]
        for cookie in filter(None, brought):  # as the browser sees them
            browser.cookie = cookie.partition("=")[2].partition(";")[0]
        assert any(brought)
        time.advance(GRACE + 1)
        assert (await browser.get("/cart")).json() == {"0": 1, "1": 1, "2": 1}


class Drifting(SessionModel, schema="web.drifting", expiry=Expiry(idle=1800)):
    user: Annotated[int, Principal()] = 0
    cart: dict[str, int] = {}


async def test_the_cookie_of_a_session_without_an_absolute_end_lives_on_in_a_browser_that_is_used(
    time: MovableClock,
) -> None:
    sessions: WebSessions[Any] = WebSessions("memory://", Drifting)

    async def enter(request: Request) -> None:
        await sessions.login(request, Drifting(user=1))

    async with (
        sessions.lifespan(),
        Browser(application(sessions, enter, *Shop(sessions).handlers)) as browser,
    ):
        answer = await browser.post("/enter")
        dies = time.now() + timedelta(seconds=max_age(answer) or 0)
        for pause in (29, 29, 10, 29, 1, 28, 29, 29, 29):
            time.advance(timedelta(minutes=pause))
            assert time.now() < dies, "the browser has dropped the cookie of a session that lives"
            answer = await browser.get("/cart")
            assert answer.status_code == 200
            if set_cookie(answer) is not None:
                dies = time.now() + timedelta(seconds=max_age(answer) or 0)
        time.advance(timedelta(minutes=31))
        assert (await browser.get("/cart")).status_code == 401


class Endless(SessionModel, schema="web.endless"):
    cart: dict[str, int] = {}


async def test_the_cookie_of_a_session_that_never_ends_lives_as_long_as_browsers_allow(time: MovableClock) -> None:
    sessions: WebSessions[Any] = WebSessions("memory://", Endless)

    async def enter(request: Request) -> None:
        await sessions.login(request, Endless())

    async with sessions.lifespan(), Browser(application(sessions, enter, *Shop(sessions).handlers)) as browser:
        assert max_age(await browser.post("/enter")) == 400 * 86400
        time.advance(timedelta(days=199))
        assert set_cookie(await browser.get("/cart")) is None
        time.advance(timedelta(days=1))
        assert max_age(await browser.get("/cart")) == 400 * 86400


class Lasting(SessionModel, schema="web.lasting", expiry=Expiry(idle=2 * 86400, absolute=WEEK)):
    role: Annotated[str, Principal()] = ""
    cart: dict[str, int] = {}


async def test_a_cookie_ends_no_later_than_its_session(time: MovableClock) -> None:
    sessions: WebSessions[Any] = WebSessions("memory://", Lasting)

    async def enter(request: Request) -> None:
        await sessions.login(request, Lasting())

    async with sessions.lifespan(), Browser(application(sessions, enter, *Shop(sessions).handlers)) as browser:
        assert max_age(await browser.post("/enter")) == WEEK.total_seconds()
        for _ in range(6):
            time.advance(timedelta(days=1))
            assert (await browser.get("/cart")).status_code == 200
        assert max_age(await browser.post("/promote")) == timedelta(days=1).total_seconds()
        time.advance(timedelta(days=1))
        assert (await browser.get("/cart")).status_code == 401


async def test_an_idle_session_ends_and_its_cookie_is_removed(time: MovableClock) -> None:
    sessions = WebSessions("memory://", Shopper)
    async with sessions.lifespan(), Browser(shop(sessions)) as browser:
        await browser.post("/login")
        time.advance(timedelta(minutes=29))
        assert (await browser.get("/cart")).status_code == 200
        time.advance(timedelta(minutes=30))
        assert (await browser.get("/cart")).status_code == 401
        assert browser.cookie is None


async def test_a_short_session_stays_one_when_its_cookie_is_renewed(time: MovableClock) -> None:
    sessions = WebSessions("memory://", Shopper, short=Expiry(idle=600, absolute=3600), renew_every=300)
    async with sessions.lifespan(), Browser(shop(sessions)) as browser:
        await browser.post("/login")
        time.advance(300)
        renewed = await browser.get("/cart")
        assert set_cookie(renewed) is not None
        assert max_age(renewed) is None
        promoted = await browser.post("/promote")
        assert set_cookie(promoted) is not None
        assert max_age(promoted) is None


async def test_sessions_whose_cookies_an_older_release_issued_are_renewed_once(
    sessions: WebSessions[Shopper], time: MovableClock
) -> None:
    sessions = WebSessions("memory://", Shopper, renew_every=900)
    async with sessions.lifespan(), Browser(shop(sessions)) as browser:
        await browser.post("/login")
        session = await sessions.repo.authenticate(browser.cookie)
        assert session is not None
        reserved = (await sessions.repo.raw(session.tkn))["__ndb__"]
        start = reserved.index('"secret":[')
        secret = reserved[start : reserved.index("]", start)]
        older = reserved.replace(secret, ",".join(secret.split(",")[:3]))
        await sessions.client.sh_set({"__ndb__": json.loads(older)}, session.tkn)
        assert set_cookie(await browser.get("/cart")) is not None
        assert set_cookie(await browser.get("/cart")) is None
