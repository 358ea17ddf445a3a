"""The shop in each way to run it, and people at browsers."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.shop.serving import Process, Shop, server_on_file, shop_on_file

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext

    from tests.shop.browsing import Person


class Deployment:
    """The shop and its store, running."""

    def __init__(self, shop: Shop, server: Process | None = None) -> None:
        self.shop: Shop = shop
        self.server: Process | None = server
        self._processes = [process for process in (server, shop) if process is not None]

    async def start(self) -> None:
        """Start all, the store first."""
        for process in self._processes:
            await process.start()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop all, the store last."""
        for process in reversed(self._processes):
            await process.stop(how)


def deployed(way: str, folder: Path) -> Deployment:
    """Return the shop in one of the ways to run it, not yet started."""
    if way == "two workers":
        options = ("--workers", "2", "--timeout-worker-healthcheck", "60")
        return Deployment(shop_on_file(folder, *options, application="tests.shop.numbered:app"))
    if way == "our server":
        server = server_on_file(folder)
        return Deployment(Shop(f"ws://127.0.0.1:{server.port}/", folder / "shop.log"), server)
    return Deployment(shop_on_file(folder))


Deploy = Callable[[str], Awaitable[Deployment]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def deploy(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deploy]:
    """Run the shop in one of the ways, until the last test has ended. Tests share it."""
    running: dict[str, Deployment] = {}

    async def deploy(way: str) -> Deployment:
        if way not in running:
            running[way] = deployed(way, tmp_path_factory.mktemp("shop"))
            await running[way].start()
        return running[way]

    yield deploy
    for deployment in running.values():
        await deployment.stop()


@pytest_asyncio.fixture(loop_scope="session", params=["one process", "two workers", "our server"])
async def deployment(request: pytest.FixtureRequest, deploy: Deploy) -> Deployment:
    """The shop, in each way to run it."""
    return await deploy(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def shop(deploy: Deploy) -> Shop:
    """The shop in one process, with its sessions in a file."""
    return (await deploy("one process")).shop


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def idle_browsers() -> list[BrowserContext]:
    """Browsers that a person has left: a new one takes a second of a processor."""
    return []


Arrive = Callable[..., Awaitable["Person"]]


@pytest_asyncio.fixture(loop_scope="session")
async def arrive(browser: Browser, idle_browsers: list[BrowserContext]) -> AsyncGenerator[Arrive]:
    """Give a person a browser without cookies: `await arrive(shop)`.

    At the end of the test, no page may have asked another origin, or been refused anything by its content policy.
    """
    from tests.shop.browsing import Person

    people: list[Person] = []

    async def arrive(shop: Shop, **options: Any) -> Person:
        context = idle_browsers.pop() if idle_browsers and not options else await browser.new_context(**options)
        people.append(Person(context, shop.url))
        if options:
            special.append(context)
        return people[-1]

    special: list[BrowserContext] = []
    yield arrive
    for person in people:
        if person.context in special:
            await person.context.close()
        else:
            await person.leave()
            idle_browsers.append(person.context)
    assert [complaint for person in people for complaint in person.complaints] == []
