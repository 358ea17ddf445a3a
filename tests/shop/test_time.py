"""Sessions come to their end by time, which a moved clock makes pass."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.shop.browsing import Person, add, expect_goodbye, expect_live
from tests.shop.conftest import Arrive
from tests.shop.serving import Shop, shop_on_file

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clocked_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Shop]:
    """The shop with a clock that `advance` moves."""
    async with shop_on_file(tmp_path_factory.mktemp("shop"), application="tests.shop.clocked:app") as shop:
        yield shop


async def use(person: Person) -> bool:
    """Use the session, without a page for it. Return True if there still is one."""
    answer = await person.context.request.get(f"{person.url}/account", max_redirects=0)
    return answer.status == 200


async def advance(person: Person, by: timedelta) -> None:
    answer = await person.context.request.get(f"{person.url}/clock/{by.total_seconds()}")
    assert answer.ok


async def test_a_session_ends_after_half_an_hour_without_use(arrive: Arrive, clocked_shop: Shop) -> None:
    billy = await arrive(clocked_shop)
    await billy.log_in()
    for _ in range(3):
        await advance(billy, timedelta(minutes=29))
        assert await use(billy)
    await advance(billy, timedelta(minutes=31))
    assert await billy.user() is None
    assert await billy.cookie() is None


async def test_a_session_in_use_ends_after_twelve_hours(arrive: Arrive, clocked_shop: Shop) -> None:
    billy = await arrive(clocked_shop)
    await billy.log_in()
    for _ in range(25):
        await advance(billy, timedelta(minutes=28))
        assert await use(billy)
    assert await billy.user() == "billy"
    await advance(billy, timedelta(minutes=21))
    assert await billy.user() is None
    assert await billy.cookie() is None


async def test_a_remembered_session_lives_for_a_month_without_use_and_for_a_year(
    arrive: Arrive, clocked_shop: Shop
) -> None:
    billy, ada = await arrive(clocked_shop), await arrive(clocked_shop)
    await billy.log_in(remember=True)
    await add(await billy.open(), "plum")
    await ada.log_in("ada", remember=True)
    for _ in range(12):
        await advance(billy, timedelta(days=29))
        assert await use(billy)
    assert await billy.cart() == {"plum": 1}
    assert await ada.user() is None
    await advance(billy, timedelta(days=17))
    assert await billy.user() is None


async def test_an_open_page_says_that_its_session_has_expired(arrive: Arrive, clocked_shop: Shop) -> None:
    billy = await arrive(clocked_shop)
    page = await billy.log_in()
    await expect_live(page)
    await advance(billy, timedelta(minutes=31))
    await expect_goodbye(page)


async def test_staff_confirm_their_password_ten_minutes_after_the_login(arrive: Arrive, clocked_shop: Shop) -> None:
    ada = await arrive(clocked_shop)
    page = await ada.log_in("ada")
    await page.goto(f"{ada.url}/admin")
    await expect(page.locator("h1")).to_have_text("Flags")
    await advance(ada, timedelta(minutes=11))
    await page.fill("[name=announcement]", "Closed today")
    await page.click("form[action='/admin'] button")
    await expect(page.locator("h1")).to_have_text("Is it still you?")
    before = await ada.secret()
    for password, title in (("apple", "Is it still you?"), ("lemon", "Flags")):
        await page.fill("[name=password]", password)
        await page.click("form[action='/confirm'] button")
        await expect(page.locator("h1")).to_have_text(title)
    assert await ada.secret() != before
    assert await page.input_value("[name=announcement]") == ""
