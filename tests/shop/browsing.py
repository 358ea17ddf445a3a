"""What a person does in the shop, with a real browser."""

from __future__ import annotations

import re
from typing import Any, Final

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, Response, expect

PASSWORDS: Final = {"billy": "apple", "ada": "lemon"}
PATIENCE: Final = 60_000
"""Milliseconds until a page that does not come fails a test."""
ENDS_WITHIN: Final = 30_000
"""Milliseconds until an open page knows that its session has ended: the store is asked each second."""


class Person:
    """Someone at a browser of their own: its cookies are no other's, and all its tabs share them."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context: BrowserContext = context
        self.url: str = url
        self.complaints: list[str] = []
        """What a page asked of another origin, and what its content policy refused."""
        self.workers: set[str] = set()
        """The processes that have answered."""
        self._blank = context.pages[:1]
        context.set_default_timeout(PATIENCE)
        context.on("request", self._on_request)
        context.on("response", self._on_response)
        context.on("console", self._on_message)

    async def leave(self) -> None:
        """Leave the browser to the next person, without cookies and with one blank tab."""
        self.context.remove_listener("request", self._on_request)
        self.context.remove_listener("response", self._on_response)
        self.context.remove_listener("console", self._on_message)
        blank, *others = self.context.pages
        for page in others:
            await page.close()
        await blank.goto("about:blank")
        await self.context.clear_cookies()

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "about:")):
            self.complaints.append(f"asked {request.url}")

    def _on_response(self, response: Response) -> None:
        self.workers.add(response.headers.get("x-worker", ""))

    def _on_message(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.complaints.append(message.text)

    async def open(self, path: str = "/") -> Page:
        """Open a page in a new tab."""
        page = self._blank.pop() if self._blank else await self.context.new_page()
        await page.goto(self.url + path)
        return page

    async def log_in(self, name: str = "billy", *, remember: bool = False, page: Page | None = None) -> Page:
        """Log in, and return the page that comes then: the cart, unless the given form leads elsewhere."""
        page = page or await self.open("/login?to=/cart")
        await page.fill("[name=username]", name)
        await page.fill("[name=password]", PASSWORDS[name])
        if remember:
            await page.check("[name=remember]")
        await page.click("form[action='/login'] button")
        return page

    async def wait_until_open(self) -> None:
        """Ask for the home page until it comes."""
        page = self.context.pages[0]
        for _ in range(100):
            answer = await page.goto(f"{self.url}/")
            if answer is not None and answer.ok:
                return
            await page.wait_for_timeout(100)
        raise AssertionError("the shop stays closed")

    async def user(self, page: Page | None = None) -> str | None:
        """Return as whom the shop knows this browser, at its next request."""
        page = page or self.context.pages[0]
        await page.goto(f"{self.url}/cart")
        names: list[str] = await page.locator("nav a[href='/account']").all_text_contents()
        return names[0] if names else None

    async def cart(self, page: Page | None = None) -> dict[str, int]:
        """Return the cart, as its page shows it."""
        page = page or self.context.pages[0]
        await page.goto(f"{self.url}/cart")
        rows = await page.locator("[data-fruit]").all()
        return {str(await row.get_attribute("data-fruit")): int(await row.locator("b").inner_text()) for row in rows}

    async def cookie(self) -> Any:
        """Return the one cookie of the shop, or None."""
        cookies = await self.context.cookies(self.url)
        assert len(cookies) <= 1
        return cookies[0] if cookies else None

    async def secret(self) -> str:
        """Return what the cookie holds."""
        return str((await self.cookie())["value"])

    async def put_cookie(self, value: str) -> None:
        """Put a cookie into the browser, as a thief does."""
        await self.context.add_cookies([{"name": "session", "value": value, "url": self.url}])


async def add(page: Page, fruit: str, times: int = 1) -> None:
    """Press the button below a fruit on the home page, and wait for the page that comes then."""
    for _ in range(times):
        async with page.expect_navigation(url=re.compile(f"#{fruit}$")):
            await page.click(f"#{fruit} button")


_SEND = """
(fruits) => Promise.all(fruits.map((fruit) => {
    const form = document.querySelector(`#${fruit} form`);
    return fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual"});
}))
"""


async def add_at_once(page: Page, *fruits: str) -> None:
    """Send the forms below these fruits, all at the same time."""
    await page.evaluate(_SEND, fruits)


async def expect_live(page: Page) -> None:
    """Wait until the open page hears from the shop."""
    await expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=PATIENCE)


async def expect_away(page: Page) -> None:
    """Wait until the open page has lost the shop."""
    await expect(page.locator("#live")).to_have_attribute("data-state", "away", timeout=PATIENCE)


async def expect_goodbye(page: Page) -> None:
    """Wait until the open page says that its session has ended."""
    await expect(page.locator("#live")).to_have_text("You are logged out. Log in again", timeout=ENDS_WITHIN)
