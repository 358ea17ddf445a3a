"""Each requirement of OWASP's and NIST's standards that sessions meet, shown in an application.

docs/web_security.md names these tests.
"""

import base64
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request, WebSocket

from ndb_models import Expiry, Lookup, SessionModel
from ndb_models.testing import MovableClock
from ndb_models.web import Principal, SessionMiddleware, WebSessions
from tests.web.sockets import Socket, settle

COOKIE = "__Host-session"
ORIGIN = "https://testserver"


class Account(
    SessionModel,
    schema="standards",
    expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(days=1)),
    track=60,
):
    user_id: Annotated[int, Principal(), Lookup()] = 0
    role: Annotated[str, Principal()] = "customer"
    cart: dict[str, int] = {}


def application(sessions: WebSessions[Account]) -> FastAPI:
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(SessionMiddleware, sessions=sessions)

    @app.post("/login")
    async def login(request: Request, user_id: int, remember: bool = False) -> None:
        await sessions.login(request, Account(user_id=user_id), remember=remember)

    @app.post("/logout")
    async def logout(request: Request) -> None:
        await sessions.logout(request)

    @app.get("/public")
    async def public(account: Annotated[Account | None, Depends(sessions.optional)]) -> bool:
        return account is None

    @app.get("/untouched")
    async def untouched() -> None: ...

    @app.get("/me")
    async def me(account: Annotated[Account, Depends(sessions.current)]) -> Account:
        return account

    @app.post("/cart")
    async def fill(account: Annotated[Account, Depends(sessions.current)]) -> None:
        account.cart["apple"] = 1

    @app.post("/promote")
    async def promote(account: Annotated[Account, Depends(sessions.current)]) -> None:
        account.role = "admin"

    @app.post("/password")
    async def password(account: Annotated[Account, Depends(sessions.require_fresh(minutes=10))]) -> None: ...

    @app.get("/devices")
    async def devices(request: Request) -> list[dict[str, Any]]:
        return [{"id": each.public_id, "current": each.is_current} for each in await sessions.devices(request)]

    @app.post("/revoke/{public_id}")
    async def revoke(request: Request, public_id: str) -> bool:
        return await sessions.revoke(request, public_id)

    @app.post("/logout-others")
    async def logout_others(request: Request) -> None:
        await sessions.logout_others(request)

    @app.get("/form")
    async def form(request: Request) -> str:
        return await sessions.csrf_token(request)

    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        async with sessions.bound(websocket):
            await websocket.receive_text()

    return app


class World:
    """An application and the browsers that visit it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.sessions: WebSessions[Account]
        self.app: FastAPI

    async def start(self, **options: Any) -> None:
        self.sessions = WebSessions("memory://", Account, **options)
        self.app = application(self.sessions)
        await self._stack.enter_async_context(self.sessions.lifespan(self.app))

    async def browser(self, user_id: int | None = None, **parameters: Any) -> httpx.AsyncClient:
        """Return a browser, logged in or not."""
        transport = httpx.ASGITransport(self.app)
        client = await self._stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"origin": ORIGIN})
        )
        if user_id is not None:
            response = await client.post("/login", params={"user_id": user_id, **parameters})
            assert response.status_code == 200, response.text
        return client


@pytest.fixture
def clock() -> Iterator[MovableClock]:
    with MovableClock() as clock:
        yield clock


@pytest.fixture
async def world(clock: MovableClock) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(stack)
        await world.start()
        yield world


async def status(browser: httpx.AsyncClient) -> int:
    return (await browser.get("/me")).status_code


def value(browser: httpx.AsyncClient) -> str:
    cookie = browser.cookies.get(COOKIE)
    assert cookie is not None
    return cookie


def with_cookie(text: str) -> dict[str, str]:
    return {"cookie": f"{COOKIE}={text}"}


async def test_the_cookie_has_each_attribute_that_the_standards_ask_for(world: World) -> None:
    browser = await world.browser()
    response = await browser.post("/login", params={"user_id": 7})
    (header,) = response.headers.get_list("set-cookie")
    pair, *attributes = header.split("; ")
    name, _, text = pair.partition("=")
    assert name == COOKIE
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert not any(each.lower().startswith("domain") for each in attributes)
    assert len(name) + len(text) == 68


async def test_the_secret_is_sent_by_set_cookie_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "ndb_models")
    browser = await world.browser(7)
    secret = value(browser)
    for path in ("/me", "/devices", "/form"):
        response = await browser.get(path)
        assert response.status_code == 200
        others = [text for name, text in response.headers.multi_items() if name != "set-cookie"]
        assert secret not in response.text + "".join(others)
    assert secret not in caplog.text


async def test_each_login_has_a_cookie_of_its_own(world: World) -> None:
    texts = {value(await world.browser(7)) for _ in range(20)}
    assert len(texts) == 20
    # They have no part in common: neither the user nor the time is in them.
    decoded = [base64.urlsafe_b64decode(re.sub(r"[^\w-]", "", text) + "===") for text in texts]
    assert all(len({text[index] for text in decoded}) > 1 for index in range(len(decoded[0])))


async def test_a_tampered_cookie_opens_nothing(world: World) -> None:
    browser = await world.browser(7)
    good = value(browser)
    other = value(await world.browser(8))
    half = len(good) // 2
    for bad in (
        good[:-2] + ("AA" if good[-2:] != "AA" else "BB"),
        good[:half] + other[half:],
        other[:half] + good[half:],
    ):
        stranger = await world.browser()
        response = await stranger.get("/me", headers=with_cookie(bad))
        assert response.status_code == 401
        # It is cleared, and not taken over by a login.
        (header,) = response.headers.get_list("set-cookie")
        assert f"{COOKIE}=;" in header
        assert "Max-Age=0" in header
        await stranger.post("/login", params={"user_id": 9}, headers=with_cookie(bad))
        assert value(stranger) != bad
        assert (await stranger.get("/me", headers=with_cookie(bad))).status_code == 401
    assert await status(browser) == 200


async def test_a_login_ends_the_cookie_before_it(world: World) -> None:
    browser = await world.browser(7)
    before = value(browser)
    await browser.post("/login", params={"user_id": 7})
    assert value(browser) != before
    assert await status(browser) == 200
    stranger = await world.browser()
    assert (await stranger.get("/me", headers=with_cookie(before))).status_code == 401


async def test_a_session_ends_when_it_is_not_used(world: World, clock: MovableClock) -> None:
    browser = await world.browser(7)
    clock.advance(timedelta(minutes=29))
    assert await status(browser) == 200
    clock.advance(timedelta(minutes=29))
    assert await status(browser) == 200
    clock.advance(timedelta(minutes=30))
    assert await status(browser) == 401


async def test_a_session_ends_after_its_absolute_time_however_much_it_is_used(
    world: World, clock: MovableClock
) -> None:
    browser = await world.browser(7)
    for _ in range(71):
        clock.advance(timedelta(minutes=20))
        assert await status(browser) == 200
    clock.advance(timedelta(minutes=20))
    assert await status(browser) == 401


async def test_a_login_restarts_both_lifetimes(world: World, clock: MovableClock) -> None:
    browser = await world.browser(7)
    for _ in range(2):
        for _ in range(71):
            clock.advance(timedelta(minutes=20))
            assert await status(browser) == 200
        await browser.post("/login", params={"user_id": 7})
    clock.advance(timedelta(minutes=29))
    assert await status(browser) == 200


async def test_after_logging_out_the_cookie_opens_nothing(world: World) -> None:
    browser = await world.browser(7)
    before = value(browser)
    response = await browser.post("/logout")
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert COOKIE not in browser.cookies
    assert (await browser.get("/me", headers=with_cookie(before))).status_code == 401


async def test_an_administrator_ends_all_sessions_of_a_user(world: World) -> None:
    browsers = [await world.browser(7), await world.browser(7), await world.browser(8)]
    await world.sessions.repo.end_all_for(user_id=7)
    assert [await status(each) for each in browsers] == [401, 401, 200]
    await world.sessions.client.sh_end_all()
    assert await status(browsers[2]) == 401


async def test_a_user_ends_the_other_sessions(world: World) -> None:
    browsers = [await world.browser(7), await world.browser(7), await world.browser(8)]
    await browsers[0].post("/logout-others")
    assert [await status(each) for each in browsers] == [200, 401, 200]


async def test_a_user_sees_the_own_sessions_and_ends_one(world: World) -> None:
    browser, phone, other = await world.browser(7), await world.browser(7), await world.browser(8)
    (foreign,) = (await other.get("/devices")).json()
    listed = (await browser.get("/devices")).json()
    assert sorted(each["current"] for each in listed) == [False, True]
    (elsewhere,) = [each["id"] for each in listed if not each["current"]]
    assert (await browser.post(f"/revoke/{foreign['id']}")).json() is False
    assert (await browser.post(f"/revoke/{elsewhere}")).json() is True
    assert [await status(each) for each in (browser, phone, other)] == [200, 401, 200]
    # An id that is shown opens nothing.
    stranger = await world.browser()
    assert (await stranger.get("/me", headers=with_cookie(elsewhere))).status_code == 401


async def test_a_step_up_asks_for_a_login_that_is_not_long_ago(world: World, clock: MovableClock) -> None:
    browser = await world.browser(7)
    assert (await browser.post("/password")).status_code == 200
    clock.advance(timedelta(minutes=11))
    assert (await browser.post("/password")).status_code == 403
    assert await status(browser) == 200
    await browser.post("/login", params={"user_id": 7})
    assert (await browser.post("/password")).status_code == 200


async def test_a_visitor_who_only_reads_gets_no_session(world: World) -> None:
    browser = await world.browser()
    for path in ("/untouched", "/public", "/me"):
        response = await browser.get(path)
        assert "set-cookie" not in response.headers
    assert (await world.sessions.client.sh_info_all())["totalSessions"] == 0


async def test_a_request_of_another_site_is_refused(world: World) -> None:
    browser = await world.browser(7)
    for headers in (
        {"origin": "https://attacker.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "origin": "https://attacker.example"},
        {"sec-fetch-site": "same-site", "origin": "https://other.testserver"},
    ):
        assert (await browser.post("/cart", headers=headers)).status_code == 403
    assert (await browser.get("/me")).json()["cart"] == {}
    assert (await browser.post("/cart")).status_code == 200


async def test_a_websocket_of_another_site_is_refused(world: World) -> None:
    browser = await world.browser(7)
    cookie = with_cookie(value(browser))
    foreign = Socket(world.app, "/live", headers={**cookie, "origin": "https://attacker.example"})
    await foreign.ended()
    assert foreign.code == 1006
    own = Socket(world.app, "/live", headers={**cookie, "origin": ORIGIN})
    await settle()
    assert own.code is None
    await browser.post("/logout")
    await own.ended()
    assert own.code == 4401


async def test_a_session_is_opened_by_its_cookie_alone(world: World) -> None:
    text = value(await world.browser(7))
    stranger = await world.browser()
    for options in (
        {"params": {COOKIE: text, "session": text}},
        {"headers": {"authorization": f"Bearer {text}"}},
        {"headers": {"x-session": text}},
        {"headers": {"cookie": f"session={text}"}},
    ):
        assert (await stranger.get("/me", **options)).status_code == 401  # type: ignore[arg-type]  # one of several


async def test_a_short_login_ends_with_the_browser(world: World) -> None:
    await world.start(short=Expiry(idle=timedelta(minutes=5)))
    browser = await world.browser()
    short = (await browser.post("/login", params={"user_id": 7})).headers["set-cookie"]
    assert "Max-Age" not in short
    assert "Expires" not in short
    remembered = (await browser.post("/login", params={"user_id": 7, "remember": True})).headers["set-cookie"]
    assert "Max-Age=" in remembered


async def test_a_remembered_cookie_ends_with_its_session(world: World) -> None:
    browser = await world.browser()
    header = (await browser.post("/login", params={"user_id": 7})).headers["set-cookie"]
    (seconds,) = re.findall(r"Max-Age=(\d+)", header)
    assert int(seconds) == timedelta(days=1).total_seconds()


async def test_a_change_of_rights_renews_the_cookie(world: World, clock: MovableClock) -> None:
    browser = await world.browser(7)
    before = value(browser)
    assert (await browser.post("/cart")).status_code == 200
    assert value(browser) == before
    assert (await browser.post("/promote")).status_code == 200
    assert value(browser) != before
    assert (await browser.get("/me")).json()["role"] == "admin"
    clock.advance(31)  # the grace of requests under way is over
    stranger = await world.browser()
    assert (await stranger.get("/me", headers=with_cookie(before))).status_code == 401
    assert await status(browser) == 200


async def test_a_cookie_is_renewed_by_time(world: World, clock: MovableClock) -> None:
    await world.start(renew_every=timedelta(minutes=10))
    browser = await world.browser(7)
    first = value(browser)
    clock.advance(timedelta(minutes=9))
    await browser.get("/me")
    assert value(browser) == first
    clock.advance(timedelta(minutes=2))
    await browser.get("/me")
    assert value(browser) != first
    await browser.get("/me")  # shows the new one: the grace of the old one begins
    clock.advance(31)
    stranger = await world.browser()
    assert (await stranger.get("/me", headers=with_cookie(first))).status_code == 401
    assert await status(browser) == 200


async def test_two_cookies_of_one_name_count_as_none(world: World) -> None:
    one, other = value(await world.browser(7)), value(await world.browser(8))
    stranger = await world.browser()
    headers = {"cookie": f"{COOKIE}={one}; {COOKIE}={other}"}
    assert (await stranger.get("/me", headers=headers)).status_code == 401


async def test_an_answer_that_read_a_session_is_private(world: World) -> None:
    browser = await world.browser(7)
    response = await browser.get("/me")
    assert "private" in response.headers["cache-control"]
    assert "cookie" in response.headers["vary"].lower()
    untouched = await browser.get("/untouched")
    assert not {"vary", "cache-control"} & set(untouched.headers)


async def test_a_form_without_an_origin_needs_the_token_of_its_session(world: World) -> None:
    await world.start(csrf="token")
    browser = await world.browser(7)
    token = (await browser.get("/form")).json()
    foreign = (await (await world.browser(8)).get("/form")).json()
    del browser.headers["origin"]  # as of an old browser
    assert (await browser.post("/cart")).status_code == 403
    assert (await browser.post("/cart", data={"csrf_token": foreign})).status_code == 403
    assert (await browser.post("/cart", data={"csrf_token": token})).status_code == 200
    assert (await browser.post("/cart", headers={"x-csrf-token": token})).status_code == 200
