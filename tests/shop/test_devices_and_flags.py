"""The page of devices, and the flags that staff switch while the shop runs."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.shop.browsing import expect_goodbye, expect_live
from tests.shop.conftest import Arrive
from tests.shop.serving import Shop

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1"


async def test_a_user_sees_the_devices_and_logs_one_out(arrive: Arrive, shop: Shop) -> None:
    laptop, phone, ada = await arrive(shop), await arrive(shop, user_agent=PHONE), await arrive(shop)
    await ada.log_in("ada")
    page = await laptop.log_in()
    await page.goto(f"{shop.url}/account")
    await page.click("text=Log out the others")  # those of the tests before
    left_open = await phone.log_in()
    await expect_live(left_open)
    await page.reload()
    assert sorted(await page.locator("[data-device] h2").all_text_contents()) == [
        "Chrome on Linux this device",
        "Safari on iPhone",
    ]
    await page.click("[data-device]:has-text('iPhone') button")
    await expect_goodbye(left_open)
    assert await page.locator("[data-device]").count() == 1
    assert [await person.user() for person in (laptop, phone, ada)] == ["billy", None, "ada"]


async def test_logging_out_everywhere_ends_this_session_too(arrive: Arrive, shop: Shop) -> None:
    laptop, phone, ada = await arrive(shop), await arrive(shop), await arrive(shop)
    await phone.log_in()
    await ada.log_in("ada")
    page = await laptop.log_in()
    await page.goto(f"{shop.url}/account")
    await page.click("text=Log out everywhere")
    assert await laptop.cookie() is None
    assert [await person.user() for person in (laptop, phone, ada)] == [None, None, "ada"]


async def test_logging_out_ends_the_open_pages_of_this_browser_and_no_others(arrive: Arrive, shop: Shop) -> None:
    laptop, phone = await arrive(shop), await arrive(shop)
    page, left_open, others = await laptop.log_in(), await laptop.open(), await phone.log_in()
    await expect_live(left_open)
    await page.goto(f"{shop.url}/account")
    await page.click("[data-device]:has-text('this device') button")
    await expect_goodbye(left_open)
    assert await laptop.cookie() is None
    await expect_live(others)
    assert await phone.user() == "billy"


async def test_the_device_of_another_user_cannot_be_logged_out(arrive: Arrive, shop: Shop) -> None:
    billy, ada = await arrive(shop), await arrive(shop)
    page = await ada.log_in("ada")
    await page.goto(f"{shop.url}/account")
    public_id = await page.locator("[data-device]:has-text('this device')").get_attribute("data-device")
    page = await billy.log_in()
    await page.goto(f"{shop.url}/account")
    action = f"/account/devices/{public_id}/logout"
    await page.locator("form[action='/account/logout-others']").evaluate(f"(form) => {{ form.action = '{action}' }}")
    await page.click("text=Log out the others")
    assert await page.inner_text(".notice") == "That device was logged out already."
    assert await ada.user() == "ada"


async def test_open_pages_hear_of_a_flag_that_is_switched(arrive: Arrive, shop: Shop) -> None:
    ada, billy = await arrive(shop), await arrive(shop)
    left_open = await billy.log_in()
    await expect_live(left_open)
    page = await ada.log_in("ada")
    await page.goto(f"{shop.url}/admin")
    try:
        await page.fill("[name=announcement]", "Free delivery today")
        await page.fill("[name=sale_percent]", "20")
        await page.click("form[action='/admin'] button")
        await expect(left_open.locator("#announcement")).to_have_text("Free delivery today")
        await expect(left_open.locator("#live")).to_have_text("20 % off everything.")
        await left_open.goto(f"{shop.url}/")
        assert "€ 0.48" in await left_open.inner_text("#apple .price")
    finally:
        await page.fill("[name=announcement]", "")
        await page.fill("[name=sale_percent]", "0")
        await page.click("form[action='/admin'] button")


async def test_a_flag_out_of_range_is_refused(arrive: Arrive, shop: Shop) -> None:
    ada = await arrive(shop)
    page = await ada.log_in("ada")
    await page.goto(f"{shop.url}/admin")
    await page.locator("[name=sale_percent]").evaluate("(field) => { field.removeAttribute('max') }")
    await page.fill("[name=sale_percent]", "90")
    await page.click("form[action='/admin'] button")
    await page.goto(f"{shop.url}/admin")
    assert await page.input_value("[name=sale_percent]") == "0"
