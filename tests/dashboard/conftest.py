"""A server with a page, and someone at a browser."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest_asyncio

from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.stores.memory import MemoryStore

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext

    from tests.shop.browsing import Person

ADMIN: Final = secrets.token_urlsafe(32)
DATA: Final = secrets.token_urlsafe(32)

Visit = Callable[..., AbstractAsyncContextManager["Person"]]


@pytest_asyncio.fixture(loop_scope="session")
async def page_server() -> AsyncGenerator[NdbServer]:
    """A server whose page may end sessions."""
    tokens = Tokens([(Role.ADMIN, ADMIN), (Role.DATA, DATA)])
    options = ServerOptions(port=0, tokens=tokens, dashboard=True, dashboard_write=True)
    async with NdbServer(Engine(MemoryStore()), options) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def context(browser: Browser) -> AsyncGenerator[BrowserContext]:
    """The browser of all people at the page: a new one takes a second of a processor."""
    context = await browser.new_context()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(context: BrowserContext) -> Visit:
    """Give someone a browser without cookies: `async with visit(url) as person`.

    At its end, no page may have asked another origin, or been refused anything by its content policy.
    """
    from tests.shop.browsing import Person

    @asynccontextmanager
    async def visit(url: str, **media: Any) -> AsyncIterator[Person]:
        await context.clear_cookies()
        if not context.pages:
            await context.new_page()
        person, errors = Person(context, url), list[str]()
        (page,) = context.pages
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.emulate_media(**media)
        yield person
        assert person.complaints == []
        assert errors == []
        await page.close()

    return visit
