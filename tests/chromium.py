"""One headless Chromium for all tests that need a browser."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserType

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
# The same engine without windows. It takes half of the processor time, and keeps no profile.
SHELL: Final = shutil.which("chromium-headless-shell") or CHROMIUM
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncGenerator[BrowserType]:
    """What starts Chromium."""
    if SHELL is None:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        yield playwright.chromium


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: BrowserType) -> AsyncGenerator[Browser]:
    """The one browser of all tests."""
    browser = await chromium.launch(executable_path=SHELL, args=ARGUMENTS)
    yield browser
    await browser.close()
