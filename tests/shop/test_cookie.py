"""The cookie, as Chromium keeps it: over HTTPS, in development, and when the browser is closed."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.chromium import ARGUMENTS, CHROMIUM
from tests.shop.browsing import add
from tests.shop.conftest import Arrive
from tests.shop.serving import TLS, Shop, shop_on_file, site

if TYPE_CHECKING:
    from playwright.async_api import BrowserType

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

YEAR = 365 * 24 * 3600


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def secure_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Shop]:
    """The shop as in production, over HTTPS."""
    options = ("--ssl-keyfile", str(TLS / "key.pem"), "--ssl-certfile", str(TLS / "certificate.pem"))
    async with shop_on_file(tmp_path_factory.mktemp("shop"), *options, is_development=False) as shop:
        yield shop


async def test_over_https_the_cookie_is_bound_to_the_host(arrive: Arrive, secure_shop: Shop) -> None:
    billy = await arrive(secure_shop, ignore_https_errors=True)
    page = await billy.log_in()
    cookie = await billy.cookie()
    assert (cookie["name"], cookie["path"], cookie["domain"]) == ("__Host-session", "/", "localhost")
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    assert await page.evaluate("document.cookie") == ""
    assert await billy.user() == "billy"


async def test_in_development_scripts_do_not_see_the_cookie_either(arrive: Arrive, shop: Shop) -> None:
    billy = await arrive(shop)
    page = await billy.log_in()
    cookie = await billy.cookie()
    assert (cookie["name"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == ("session", False, True, "Lax")
    assert await page.evaluate("document.cookie") == ""


async def test_a_script_cannot_overwrite_the_cookie(arrive: Arrive, shop: Shop) -> None:
    billy = await arrive(shop)
    page = await billy.log_in()
    before = await billy.secret()
    await page.evaluate("document.cookie = 'session=evil; path=/'")
    assert await billy.secret() == before


async def test_the_cookie_of_a_remembered_login_lasts_as_long_as_the_session(arrive: Arrive, shop: Shop) -> None:
    billy = await arrive(shop)
    await billy.log_in(remember=True)
    assert (await billy.cookie())["expires"] == pytest.approx(time.time() + YEAR, abs=600)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine: apt-get install chromium")
async def test_closing_the_browser_ends_a_login_unless_it_is_remembered(
    chromium: BrowserType, shop: Shop, tmp_path: Path
) -> None:
    """localhost and 127.0.0.1 are two sites with a cookie each."""
    remembered, forgotten = shop.url, shop.url.replace("localhost", "127.0.0.1")

    for is_first in (True, False):
        async with await chromium.launch_persistent_context(
            tmp_path, executable_path=CHROMIUM, args=ARGUMENTS
        ) as context:
            page = await context.new_page()
            for url in (remembered, forgotten):
                await page.goto(f"{url}/login")
                if is_first:
                    await page.fill("[name=username]", "billy")
                    await page.fill("[name=password]", "apple")
                    await page.set_checked("[name=remember]", url == remembered)
                    await page.click("form[action='/login'] button")
                    await page.locator("nav a[href='/account']").wait_for()
                is_known = bool(await page.locator("nav a[href='/account']").count())
                assert is_known == (is_first or url == remembered)


async def test_a_link_from_another_site_finds_the_session_and_a_form_does_not(arrive: Arrive, shop: Shop) -> None:
    """127.0.0.1 is another site than localhost, another port is not."""
    billy = await arrive(shop)
    await billy.log_in()
    async with site(f"<a href='{shop.url}/'>fruit</a>") as port:
        page = await billy.context.new_page()
        await page.goto(f"http://127.0.0.1:{port}/")
        billy.complaints.clear()
        await page.click("a")
        assert await page.inner_text("nav a[href='/account']") == "billy"


async def test_a_session_is_not_carried_over_from_plain_http(arrive: Arrive, secure_shop: Shop) -> None:
    """Cookies know no ports and no protocols. The prefix keeps what a page over HTTP may set apart."""
    billy = await arrive(secure_shop, ignore_https_errors=True)
    page = await billy.open()
    await add(page, "fig")
    assert {cookie["name"] for cookie in await billy.context.cookies()} == {"__Host-session"}
