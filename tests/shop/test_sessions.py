"""Logging in and out, and filling a cart, in each way to run the shop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest

from ndb_models import Credential
from tests.shop.browsing import Person, add, add_at_once, expect_away, expect_goodbye, expect_live
from tests.shop.conftest import Arrive, Deploy, Deployment
from tests.shop.serving import Shop

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_two_tabs_fill_one_cart_at_once_and_no_item_is_lost(arrive: Arrive, deployment: Deployment) -> None:
    for _ in range(10):
        workers = await fill_one_cart_from_two_tabs(await arrive(deployment.shop))
        if workers == {""} or len(workers) == 2:
            return
    raise AssertionError("of two workers, one answered all requests ten times")


async def fill_one_cart_from_two_tabs(billy: Person) -> set[str]:
    """Fill the cart, and look at it; return which workers answered. Which takes a connection is up to the system."""
    await billy.log_in()
    one, other = await billy.open(), await billy.open()
    await asyncio.gather(
        add_at_once(one, *["apple"] * 10, *["pear"] * 10),
        add_at_once(other, *["apple"] * 10, *["plum"] * 10),
    )
    assert await billy.cart() == {"apple": 20, "pear": 10, "plum": 10}
    return billy.workers


async def test_the_cart_outlives_the_login_and_the_cookie_does_not(arrive: Arrive, deployment: Deployment) -> None:
    visitor = await arrive(deployment.shop)
    page = await visitor.open()
    await add(page, "fig")
    before = await visitor.secret()
    await page.click("text=Log in")
    await visitor.log_in(page=page)
    assert await visitor.secret() != before
    assert await visitor.cart() == {"fig": 1}

    thief = await arrive(deployment.shop)
    await thief.put_cookie(before)
    await thief.open()
    assert await thief.user() is None
    assert await thief.cart() == {}
    assert await thief.cookie() is None


async def test_a_session_that_is_ended_elsewhere_ends_at_the_next_request_and_on_the_open_page(
    arrive: Arrive, deployment: Deployment
) -> None:
    phone, laptop = await arrive(deployment.shop), await arrive(deployment.shop)
    left_open = await phone.log_in()
    await expect_live(left_open)
    page = await laptop.log_in()
    await page.goto(f"{laptop.url}/account")
    await page.click("text=Log out the others")
    await expect_goodbye(left_open)
    assert await phone.user() is None
    assert await phone.cookie() is None
    assert await laptop.user() == "billy"


async def test_a_session_outlives_the_shop_and_its_store(arrive: Arrive, deployment: Deployment) -> None:
    billy = await arrive(deployment.shop)
    await billy.log_in()
    page = await billy.open()
    await add(page, "lemon")
    await expect_live(page)
    await deployment.stop(signal.SIGKILL)
    await expect_away(page)
    await deployment.start()
    await expect_live(page)
    assert await billy.user() == "billy"
    assert await billy.cart() == {"lemon": 1}


async def test_the_shop_stops_while_pages_are_open(arrive: Arrive, deploy: Deploy) -> None:
    deployment = await deploy("one process")
    billy = await arrive(deployment.shop)
    page = await billy.log_in()
    await expect_live(page)
    await deployment.stop()
    await expect_away(page)
    await deployment.start()
    await expect_live(page)


async def test_nobody_is_logged_out_while_the_store_is_away(arrive: Arrive, deploy: Deploy) -> None:
    deployment = await deploy("our server")
    assert deployment.server is not None
    billy = await arrive(deployment.shop)
    page = await billy.log_in()
    before = await billy.secret()
    await deployment.server.stop()
    for path in ("/", "/cart", "/account"):
        answer = await page.goto(billy.url + path)
        assert answer is not None
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert await billy.secret() == before
    await deployment.server.start()
    await billy.wait_until_open()
    assert await billy.user() == "billy"


def with_another_secret(value: str) -> str:
    credential = Credential.parse(value)
    assert credential is not None
    return value[:-20] + ("A" if value[-20] != "A" else "B") + value[-19:]


TAMPERED: dict[str, Callable[[str], str]] = {
    "another secret": with_another_secret,
    "a letter more": lambda value: f"{value}A",
    "a letter less": lambda value: value[:-1],
    "the token alone": lambda value: value[:11],
    "another spelling": lambda value: f'"{value}"',
    "no credential": lambda _: "billy",
    "nothing": lambda _: "",
}


async def test_a_tampered_cookie_is_not_adopted(arrive: Arrive, shop: Shop) -> None:
    billy, thief = await arrive(shop), await arrive(shop)
    await billy.log_in()
    secrets = {await billy.secret()}
    page = await thief.open()
    for name, tamper in TAMPERED.items():
        tampered = tamper(await billy.secret())
        await thief.put_cookie(tampered)
        await page.goto(f"{thief.url}/")
        assert await page.locator("nav a[href='/account']").count() == 0, name
        await thief.put_cookie(tampered)
        await add_at_once(page, "fig")
        assert await thief.secret() not in {*secrets, tampered}, name
        secrets.add(await thief.secret())
    assert await billy.user() == "billy"
    assert await billy.cart() == {}


async def test_a_cookie_that_opens_nothing_is_removed(arrive: Arrive, shop: Shop) -> None:
    thief = await arrive(shop)
    await thief.put_cookie("billy")
    await thief.open()
    assert await thief.cookie() is None
