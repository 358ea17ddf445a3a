"""Pages of other origins can neither change nor hear anything in the shop."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, Response

from tests.shop.browsing import Person, expect_live
from tests.shop.conftest import Arrive
from tests.shop.serving import Shop, site

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def lure(person: Person, page: str, host: str) -> tuple[Page, list[Response]]:
    """Bring a person to a page of another origin that sends a form by itself. Return the answer that it got."""
    answers: list[Response] = []
    async with site(page) as port:
        tab = await person.context.new_page()
        tab.on("response", lambda answer: answers.append(answer) if answer.request.method == "POST" else None)
        await tab.goto(f"http://{host}:{port}/")
        await tab.wait_for_url(f"{person.url}/**")
    person.complaints.clear()
    return tab, answers


def form(action: str, **fields: str) -> str:
    inputs = "".join(f"<input type='hidden' name='{name}' value='{value}'>" for name, value in fields.items())
    return f"<form method='post' action='{action}'>{inputs}</form><script>document.forms[0].submit()</script>"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another port", "another site"])
async def test_a_form_of_another_origin_is_refused(arrive: Arrive, shop: Shop, host: str) -> None:
    """To another port the browser sends the cookie along, since it is the same site."""
    billy = await arrive(shop)
    await billy.log_in()
    _, answers = await lure(billy, form(f"{shop.url}/cart/fig"), host)
    assert answers[0].status == 403
    assert await billy.cart() == {}
    await lure(billy, form(f"{shop.url}/account/logout-everywhere"), host)
    assert await billy.user() == "billy"


async def test_another_origin_cannot_log_a_visitor_in(arrive: Arrive, shop: Shop) -> None:
    """Nobody is to shop as somebody else without knowing it."""
    visitor = await arrive(shop)
    _, answers = await lure(visitor, form(f"{shop.url}/login", username="ada", password="lemon"), "localhost")
    assert answers[0].status == 403
    assert await visitor.user() is None


async def test_another_origin_cannot_listen(arrive: Arrive, shop: Shop) -> None:
    billy = await arrive(shop)
    await expect_live(await billy.log_in())
    script = f"""<title>listening</title><script>
        const socket = new WebSocket("{shop.url.replace("http", "ws")}/live");
        socket.onmessage = (event) => {{ document.title = "heard " + event.data; }};
        socket.onclose = (event) => {{ document.title = "closed"; }};
    </script>"""
    async with site(script) as port:
        tab = await billy.context.new_page()
        await tab.goto(f"http://localhost:{port}/")
        await tab.wait_for_function("document.title != 'listening'")
        assert await tab.title() == "closed"
    billy.complaints.clear()


async def test_a_browser_that_says_nothing_of_the_origin_needs_the_token(arrive: Arrive, shop: Shop) -> None:
    billy = await arrive(shop)
    await billy.log_in()
    page = await billy.open()
    token = await page.locator("[name=csrf_token]").first.input_value()
    send = billy.context.request.post  # which sends the cookies, and neither Origin nor Sec-Fetch-Site
    assert (await send(f"{shop.url}/cart/fig", form={})).status == 403
    assert (await send(f"{shop.url}/cart/fig", form={"csrf_token": token[:-1]})).status == 403
    assert await billy.cart() == {}
    assert (await send(f"{shop.url}/cart/fig", form={"csrf_token": token})).status == 200
    assert await billy.cart() == {"fig": 1}
