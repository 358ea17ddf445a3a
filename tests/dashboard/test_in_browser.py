"""The page in a real Chromium."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from playwright.async_api import Page, expect

from ndb_models import NdbClient, Repository
from ndb_models.dashboard import Dashboard
from ndb_models.dashboard.application import Scope
from ndb_models.server import NdbServer
from tests.dashboard.conftest import ADMIN, DATA, Visit
from tests.dashboard.models import HOSTILE, Ticket, Visitor
from tests.free_ports import free_port
from tests.shop.browsing import Person

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

HIDDEN = "••••••••"
CANARIES = (HOSTILE, "canary@example.org", "the-type-says-so", "the-name-says-so")


def root_of(server: NdbServer) -> str:
    return f"http://127.0.0.1:{server.port}"


async def log_in(person: Person, token: str = ADMIN) -> Page:
    page = await person.open("/dashboard/")
    await page.fill("#token", token)
    await page.click("text=Log in >> nth=-1")
    return page


async def find(page: Page, field: str, value: str) -> None:
    await page.fill("#field", field)
    await page.fill("#value", value)
    await page.click("#find button[type=submit]")


async def test_an_intruder_sees_an_empty_page(page_server: NdbServer, visit: Visit) -> None:
    async with NdbClient.connect(page_server.uri, token=DATA) as client, visit(root_of(page_server)) as intruder:
        await Repository(client, Visitor).save(Visitor(user_id=7, email="canary@example.org"))
        page = await log_in(intruder, DATA)
        await expect(page.locator("#login-error")).to_have_text("This token is for data. The page is for admins.")
        await page.fill("#token", "x" * 32)
        await page.keyboard.press("Enter")
        await expect(page.locator("#login-error")).to_have_text("This is no token of this server.")
        await expect(page.locator("#page")).to_be_hidden()
        assert "DashboardVisitor" not in await page.content()
        assert await intruder.context.cookies() == []
        assert "xxx" not in page.url


async def test_figures_move_and_a_session_is_found_and_ended(page_server: NdbServer, visit: Visit) -> None:
    async with NdbClient.connect(page_server.uri, token=DATA) as client, visit(root_of(page_server)) as admin:
        visitors = Repository(client, Visitor)
        seven, eight = [
            await visitors.save(Visitor(user_id=user, email="canary@example.org", profile={"<b>": HOSTILE}))
            for user in (7, 8)
        ]
        await Repository(client, Ticket).save(Ticket(number="1"))
        page = await log_in(admin)
        await expect(page.locator("#schemas button")).to_have_count(2)
        await expect(page.locator("#rows tr")).to_have_count(2)
        await expect_figures_to_move(page, visitors, eight)
        await find(page, "user_id", "7")
        await expect(page.locator("#list-message")).to_have_text("1 session has user_id = 7.")
        await page.locator("#rows tr button").focus()
        await page.keyboard.press("Enter")
        await expect_values_only_when_asked_for(page)
        await end_once_confirmed(page, visitors, seven)
        assert await visitors.exists(eight.tkn)
        await find(page, "user_id", "7")
        await expect(page.locator("#list-message")).to_contain_text("No session has user_id = 7.")
        await expect_nothing_behind_a_logout(page)


async def expect_figures_to_move(page: Page, visitors: Repository[Visitor], visitor: Visitor) -> None:
    charts = page.locator(".chart")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(charts.filter(has_text="Connections").locator("b")).to_have_text("1")
    line = charts.filter(has_text="Requests").locator("path.line").first
    before = await line.get_attribute("d")
    for _ in range(20):
        await visitors.get(visitor.tkn)
    await expect(line).not_to_have_attribute("d", before or "")
    await expect(charts.filter(has_text="Requests").locator("b").first).to_have_text(re.compile(r"^[1-9]"))


async def expect_values_only_when_asked_for(page: Page) -> None:
    """They are text then, whatever is in them, and secrets are not among them."""
    await expect(page.locator("#fields > div")).to_have_count(6)
    assert await page.locator("#fields dd").all_text_contents() == [HIDDEN] * 6
    source = await page.content()
    assert not [canary for canary in CANARIES if canary in source]
    await page.click("#reveal")
    nickname = page.locator("#fields > div").filter(has=page.locator("dt", has_text="nickname")).locator("dd")
    await expect(nickname).to_have_text(HOSTILE)
    assert await page.locator("script, #fields img, #fields b").count() == 1  # the page's own script
    assert await page.title() == "ndb-models · status"
    assert "the-name-says-so" not in await page.content()


async def end_once_confirmed(page: Page, visitors: Repository[Visitor], visitor: Visitor) -> None:
    await page.click("#end")
    await page.click("#confirm-no")
    assert await visitors.exists(visitor.tkn)
    await page.click("#end")
    await page.click("#confirm-yes")
    await expect(page.locator("#toast")).to_have_text("The session has ended.")
    await expect(page.locator("#rows tr")).to_have_count(0)
    assert not await visitors.exists(visitor.tkn)


async def expect_nothing_behind_a_logout(page: Page) -> None:
    await page.click("#logout")
    await expect(page.locator("#login")).to_be_visible()
    source = await page.content()
    assert not [canary for canary in (*CANARIES, "DashboardVisitor") if canary in source]
    await page.reload()
    await expect(page.locator("#login")).to_be_visible()


async def test_an_expiry_ticks_and_an_end_elsewhere_is_told(page_server: NdbServer, visit: Visit) -> None:
    async with NdbClient.connect(page_server.uri, token=DATA) as client, visit(root_of(page_server)) as admin:
        tickets = Repository(client, Ticket)
        ticket = await tickets.save(Ticket(number="1"))
        page = await log_in(admin)
        await page.click("#rows tr")
        countdown = page.locator("#countdown")
        await expect(countdown).to_have_text(re.compile(r"1 min \d+ s"))
        first = await countdown.inner_text()
        await expect(countdown).not_to_have_text(first)
        await tickets.delete(ticket.tkn)
        await expect(page.locator("#session-message")).to_have_text("This session has ended.", timeout=10_000)
        assert await page.locator("#fields > div").count() == 0
        await page.keyboard.press("Escape")
        await expect(page.locator("#session")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_a_phone_in_light_and_dark(scheme: str, page_server: NdbServer, visit: Visit) -> None:
    async with NdbClient.connect(page_server.uri, token=DATA) as client:
        await Repository(client, Visitor).save(Visitor(user_id=7, profile={"long": "x" * 500}))
        async with visit(root_of(page_server), color_scheme=scheme) as admin:
            await admin.context.pages[0].set_viewport_size({"width": 360, "height": 740})
            page = await log_in(admin)
            await expect(page.locator("#rows tr")).to_have_count(1)
            await page.locator("#rows tr button").click()
            await page.click("#reveal")
            await expect(page.locator("#fields")).to_contain_text("xxx")
            too_wide = "() => [document.documentElement, document.getElementById('session')].map(e => e.scrollWidth)"
            assert max(await page.evaluate(too_wide)) <= 360
            lightness = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
            assert (await page.evaluate(lightness) > 128) is (scheme == "light")


@asynccontextmanager
async def application(client: NdbClient) -> AsyncIterator[str]:
    """Serve the page by itself, to those with a cookie."""

    def allow(scope: Scope) -> str | None:
        return "Ada" if b"name=ada" in dict(scope["headers"]).get(b"cookie", b"") else None

    port = free_port()
    dashboard = Dashboard(Repository(client, Visitor), allow=allow, write=True, key=b"k" * 32)
    server = uvicorn.Server(uvicorn.Config(dashboard, port=port, log_level="critical", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it tells in no other way
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


async def test_an_application_serves_the_page_to_whom_it_allows(visit: Visit) -> None:
    async with NdbClient.connect("memory://") as client, application(client) as url:
        visitor = await Repository(client, Visitor).save(Visitor(user_id=7))
        async with visit(url) as person:
            page = await person.open("/")
            assert "DashboardVisitor" not in await page.content()
            assert "This page is for admins." in await page.content()
            await person.context.add_cookies([{"name": "name", "value": "ada", "url": url}])
            await page.goto(url)
            await expect(page.locator("#rows tr")).to_have_count(1)
            await expect(page.locator("#logout")).to_be_hidden()
            await expect(page.locator(".chart")).to_have_count(3)
            assert await page.locator("#lookups option").all_inner_texts() == ["", ""]
            await page.click("#rows tr")
            await page.click("#end")
            await page.click("#confirm-yes")
            await expect(page.locator("#toast")).to_have_text("The session has ended.")
            assert not await Repository(client, Visitor).exists(visitor.tkn)
