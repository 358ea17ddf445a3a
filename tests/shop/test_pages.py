"""The pages of the shop, with and without JavaScript."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.shop.browsing import add
from tests.shop.conftest import Arrive
from tests.shop.serving import Shop

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_a_visitor_who_only_looks_gets_no_session(arrive: Arrive, shop: Shop) -> None:
    visitor = await arrive(shop)
    for path in ("/", "/cart", "/login", "/account", "/admin", "/no-such-page"):
        await visitor.open(path)
    assert await visitor.cookie() is None


async def test_the_shop_works_without_javascript(arrive: Arrive, shop: Shop) -> None:
    billy = await arrive(shop, java_script_enabled=False)
    page = await billy.open()
    await add(page, "fig", 2)
    await page.click("text=Cart")
    await page.click("form[action='/order'] button")
    await billy.log_in(page=page)
    assert await billy.cart() == {"fig": 2}
    await page.goto(f"{shop.url}/cart")
    await page.fill("[name=message]", "Enjoy them.")
    await page.click("form[action='/order'] button")
    assert "2 things are on their way" in await page.inner_text(".notice")
    assert await billy.cart() == {}


async def test_a_fruit_is_put_into_the_cart_and_taken_out_again(arrive: Arrive, shop: Shop) -> None:
    visitor = await arrive(shop)
    page = await visitor.open()
    await add(page, "fig", 2)
    await add(page, "pear")
    await page.goto(f"{shop.url}/cart")
    await page.click("[aria-label='One more: Figs']")
    await expect(page.locator("#fig b")).to_have_text("3")
    await page.click("[aria-label='One fewer: Pears']")
    await expect(page.locator("#pear")).to_have_count(0)
    assert await visitor.cart() == {"fig": 3}


async def test_a_notice_is_shown_once(arrive: Arrive, shop: Shop) -> None:
    billy = await arrive(shop)
    page = await billy.log_in()
    assert await page.inner_text(".notice") == "Welcome, billy."
    await page.reload()
    assert await page.locator(".notice").count() == 0


async def test_staff_confirm_their_password_before_they_switch_a_flag(arrive: Arrive, shop: Shop) -> None:
    ada = await arrive(shop)
    page = await ada.log_in("ada")
    await page.click("text=Flags")
    assert page.url == f"{shop.url}/admin"


async def test_customers_do_not_see_the_flags(arrive: Arrive, shop: Shop) -> None:
    billy = await arrive(shop)
    page = await billy.log_in()
    assert await page.locator("a[href='/admin']").count() == 0
    answer = await page.goto(f"{shop.url}/admin")
    assert answer is not None
    assert answer.status == 403
