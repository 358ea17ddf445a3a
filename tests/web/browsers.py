"""Browsers for tests: clients with cookies, for an application in this process."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.types import ASGIApp

NAME = "__Host-session"


class Browser(httpx.AsyncClient):
    """Speaks to an application over TLS, and keeps its cookies."""

    def __init__(self, app: ASGIApp, *, base_url: str = "https://shop.example", raises: bool = False) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=raises)
        super().__init__(transport=transport, base_url=base_url)

    @property
    def cookie(self) -> str | None:
        """The session cookie that the browser has."""
        return self.cookies.get(NAME)

    @cookie.setter
    def cookie(self, text: str | None) -> None:
        self.cookies.clear()
        if text is not None:
            self.cookies.set(NAME, text, domain="shop.example", path="/")


def set_cookie(answer: httpx.Response) -> str | None:
    """Return the one Set-Cookie header of an answer, or None."""
    headers = answer.headers.get_list("set-cookie")
    assert len(headers) <= 1
    return headers[0] if headers else None


def max_age(answer: httpx.Response) -> int | None:
    """Return the Max-Age of the cookie that an answer sets."""
    found = re.search(r"Max-Age=(\d+)", set_cookie(answer) or "")
    return int(found[1]) if found else None


@asynccontextmanager
async def browsers(app: ASGIApp, count: int = 2) -> AsyncIterator[list[Browser]]:
    """Give several browsers of one application."""
    opened = [Browser(app) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            await each.aclose()
