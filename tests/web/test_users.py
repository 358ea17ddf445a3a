"""All sessions of one user: listed, and ended."""

import asyncio
from typing import Annotated, Any

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse

from ndb_models import Lookup, NdbClient, NotFreshError, SchemaError, SessionModel
from ndb_models.testing import MovableClock
from ndb_models.web import Device, Principal, WebSessions
from tests.web.applications import Shopper, application, shop
from tests.web.browsers import Browser, browsers, set_cookie


class Account:
    """The handlers of a page about one's own sessions."""

    def __init__(self, sessions: WebSessions[Shopper]) -> None:
        self.sessions = sessions

    async def devices(self, request: Request) -> list[list[Any]]:
        devices: list[Device[Shopper]] = await self.sessions.devices(request)
        return [[each.public_id, each.is_current, each.session.note, each.used is not None] for each in devices]

    async def revoke(self, request: Request) -> bool:
        return await self.sessions.revoke(request, request.query_params["id"])

    async def logout_others(self, request: Request) -> int:
        return await self.sessions.logout_others(request)

    async def logout_everywhere(self, request: Request) -> int:
        return await self.sessions.logout_everywhere(request)

    async def name(self, request: Request) -> None:
        (await self.sessions.current(request)).note = request.query_params["note"]


def account(sessions: WebSessions[Shopper]) -> Any:
    mine = Account(sessions)
    return shop(sessions, mine.devices, mine.revoke, mine.logout_others, mine.logout_everywhere, mine.name)


async def log_in(*opened: Browser, user: int = 7) -> None:
    for number, browser in enumerate(opened):
        await browser.post(f"/login?user={user}")
        await browser.post(f"/name?note={number}")


async def test_the_devices_of_a_user_are_listed_the_current_one_first_and_then_by_use(
    sessions: WebSessions[Shopper], time: MovableClock
) -> None:
    async with browsers(account(sessions), 4) as (one, two, three, stranger):
        await log_in(one, two, three)
        await log_in(stranger, user=8)
        time.advance(120)
        await two.get("/whoami")
        for _ in range(10):  # the use is recorded in the background
            await asyncio.sleep(0)
        time.advance(120)
        listed = (await three.get("/devices")).json()
        assert [row[1:3] for row in listed] == [[True, "2"], [False, "1"], [False, "0"]]
        assert all(row[3] for row in listed)
        assert len({row[0] for row in listed}) == 3


async def test_a_device_is_revoked_by_its_public_id(sessions: WebSessions[Shopper]) -> None:
    async with browsers(account(sessions), 3) as (one, two, three):
        await log_in(one, two, three)
        (first,) = [row[0] for row in (await three.get("/devices")).json() if row[2] == "0"]
        assert (await three.post(f"/revoke?id={first}")).json() is True
        assert (await three.post(f"/revoke?id={first}")).json() is False
        assert [(await each.get("/cart")).status_code for each in (one, two, three)] == [401, 200, 200]


async def test_no_one_revokes_the_session_of_another_user(sessions: WebSessions[Shopper]) -> None:
    async with browsers(account(sessions), 3) as (victim, thief, anonymous):
        await log_in(victim)
        await log_in(thief, user=8)
        await anonymous.post("/browse")
        public_id = (await victim.get("/devices")).json()[0][0]
        for each in (thief, anonymous):
            assert (await each.post(f"/revoke?id={public_id}")).json() is False
        assert (await victim.get("/cart")).status_code == 200


async def test_revoking_the_current_device_logs_out(sessions: WebSessions[Shopper]) -> None:
    async with Browser(account(sessions)) as browser:
        await log_in(browser)
        public_id = (await browser.get("/devices")).json()[0][0]
        assert (await browser.post(f"/revoke?id={public_id}")).json() is True
        assert browser.cookie is None


async def test_logging_out_others_spares_this_browser_and_other_users(sessions: WebSessions[Shopper]) -> None:
    async with browsers(account(sessions), 4) as (one, two, three, stranger):
        await log_in(one, two, three)
        await log_in(stranger, user=8)
        assert (await two.post("/logout_others")).json() == 2
        assert [(await each.get("/cart")).status_code for each in (one, two, three, stranger)] == [401, 200, 401, 200]


async def test_logging_out_everywhere_ends_all_sessions_of_the_user(sessions: WebSessions[Shopper]) -> None:
    async with browsers(account(sessions), 3) as (one, two, stranger):
        await log_in(one, two)
        await log_in(stranger, user=8)
        assert (await one.post("/logout_everywhere")).json() == 2
        assert one.cookie is None
        assert [(await each.get("/cart")).status_code for each in (one, two, stranger)] == [401, 401, 200]


async def test_a_session_without_a_user_stands_alone(sessions: WebSessions[Shopper]) -> None:
    async with browsers(account(sessions)) as (one, other):
        await one.post("/browse")
        await other.post("/browse")
        assert [row[1] for row in (await one.get("/devices")).json()] == [True]
        assert (await one.post("/logout_others")).json() == 0
        assert (await one.post("/logout_everywhere")).json() == 1
        assert (await other.get("/cart")).status_code == 200


@pytest.mark.parametrize("verb", ["devices", "logout_others", "logout_everywhere", "revoke?id=x"])
async def test_without_a_session_there_is_nothing_to_list_or_end(sessions: WebSessions[Shopper], verb: str) -> None:
    async with Browser(account(sessions)) as browser:
        assert (await browser.post(f"/{verb}")).status_code == 401


async def test_a_password_change_ends_the_other_sessions_of_the_user_who_logs_in_in_it(
    sessions: WebSessions[Shopper],
) -> None:
    async def change_password(request: Request) -> int:
        session = await sessions.current(request)
        await sessions.login(request, session)
        return await sessions.logout_others(request)

    async with browsers(shop(sessions, change_password)) as (one, other):
        await log_in(one, other)
        cookie = one.cookie
        assert (await one.post("/change_password")).json() == 1
        assert one.cookie != cookie
        assert (await other.get("/cart")).status_code == 401


class Untracked(SessionModel, schema="web.untracked"):
    user: Annotated[int, Principal(), Lookup()] = 0


class Unmarked(SessionModel, schema="web.unmarked", track=60):
    user: int = 0


@pytest.mark.parametrize(
    ("model", "verb", "advice"),
    [
        (Untracked, "devices", "track=60"),
        (Untracked, "revoke", "track=60"),
        (Unmarked, "devices", r"Principal\(\), Lookup\(\)"),
        (Unmarked, "logout_others", r"Principal\(\), Lookup\(\)"),
        (Unmarked, "logout_everywhere", r"Principal\(\), Lookup\(\)"),
    ],
)
async def test_a_class_that_lacks_something_is_told_what_to_declare(
    model: type[SessionModel], verb: str, advice: str
) -> None:
    sessions: WebSessions[Any] = WebSessions("memory://", model)

    async def ask(request: Request) -> None:
        await sessions.login(request, model())
        with pytest.raises(SchemaError, match=advice):
            await getattr(sessions, verb)(request, *(["x"] if verb == "revoke" else []))

    async with sessions.lifespan(), Browser(application(sessions, ask), raises=True) as browser:
        await browser.post("/ask")


def test_a_step_up_needs_a_class_that_records_logins() -> None:
    with pytest.raises(SchemaError, match="track=60"):
        WebSessions("memory://", Untracked).require_fresh(minutes=10)


async def test_a_step_up_takes_only_those_who_logged_in_lately(
    sessions: WebSessions[Shopper], time: MovableClock
) -> None:
    fresh = sessions.require_fresh(minutes=10)

    async def pay(request: Request) -> int | None:
        return (await fresh(request)).user

    async with Browser(shop(sessions, pay)) as browser:
        assert (await browser.post("/pay")).status_code == 401
        await browser.post("/login")
        time.advance(600)
        assert (await browser.post("/pay")).json() == 7
        time.advance(1)
        stale = await browser.post("/pay")
        assert (stale.status_code, set_cookie(stale)) == (403, None)
        await browser.post("/promote")  # a renewed cookie is no login
        assert (await browser.post("/pay")).status_code == 403
        await browser.post("/identify")
        assert (await browser.post("/pay")).json() == 7


async def test_the_application_may_answer_a_stale_login_itself(
    sessions: WebSessions[Shopper], time: MovableClock
) -> None:
    fresh = sessions.require_fresh(minutes=1)

    async def pay(request: Request) -> int | None:
        return (await fresh(request)).user

    async def ask_for_password(request: Request, exc: Exception) -> RedirectResponse:
        return RedirectResponse("/password", 303)

    async with Browser(shop(sessions, pay, exception_handlers={NotFreshError: ask_for_password})) as browser:
        await browser.post("/login")
        time.advance(61)
        assert (await browser.post("/pay")).headers["location"] == "/password"


async def test_on_a_stock_nemesisdb_users_are_logged_out_everywhere(nemesisdb_client: NdbClient) -> None:
    sessions = WebSessions(nemesisdb_client, Shopper)
    async with browsers(account(sessions), 3) as (one, two, three):
        await log_in(one, two, three)
        assert (await one.post("/logout_others")).json() == 2
        await two.post("/login")
        assert (await one.post("/logout_everywhere")).json() == 2
        assert [(await each.get("/cart")).status_code for each in (one, two, three)] == [401] * 3
