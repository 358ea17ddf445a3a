"""The same visits on every store, and on every way to reach it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models import Expiry, NdbClient
from ndb_models.engine import Engine
from ndb_models.errors import InvalidArgumentError
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.stores.memory import MemoryStore
from ndb_models.web import WebSessions
from tests.web.applications import Shopper, shop
from tests.web.browsers import Browser, browsers, max_age


@pytest.fixture(params=["memory", "sqlite", "server", "nemesisdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> NdbClient | str:
    """Each kind of store: its URI, or a client."""
    if request.param == "memory":
        return "memory://"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}"
    # Asked for here, where no loop runs yet: an async fixture cannot start another.
    server: NdbServer = request.getfixturevalue(request.param)
    return NdbClient(server.uri, max_payload=8192)


@pytest.fixture
async def sessions(store: NdbClient | str) -> AsyncIterator[WebSessions[Shopper]]:
    sessions = WebSessions(store, Shopper, short=Expiry(idle=600))
    async with sessions.lifespan():
        yield sessions
    await sessions.client.close()


async def test_a_server_gets_the_bearer_token_of_its_clients() -> None:
    bearer = "d" * 43
    tokens = Tokens([(Role.DATA, bearer)])
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0, tokens=tokens)) as server:
        sessions = WebSessions(server.uri, Shopper, token=bearer)
        async with sessions.lifespan(), Browser(shop(sessions)) as browser:
            await browser.post("/login")
            assert (await browser.get("/whoami")).json() == 7
        assert bearer not in repr(sessions) + repr(sessions.client)
        without = WebSessions(server.uri, Shopper)
        async with without.lifespan():
            assert not await without.ready()


def test_a_client_has_its_token_itself() -> None:
    with pytest.raises(InvalidArgumentError, match="token= is for the URI of a server"):
        WebSessions(NdbClient("ws://127.0.0.1:1/"), Shopper, token="d" * 43)


async def test_a_day_in_a_shop(sessions: WebSessions[Shopper]) -> None:
    async with browsers(shop(sessions), 2) as (browser, before):
        assert (await browser.get("/whoami")).json() is None
        await browser.post("/browse")
        await browser.post("/add?item=apple")
        before.cookie = browser.cookie
        assert max_age(await browser.post("/identify?remember")) is not None
        assert (await before.get("/whoami")).json() is None
        assert (await browser.get("/cart")).json() == {"apple": 1}
        cookie = browser.cookie
        await browser.post("/promote")
        assert browser.cookie != cookie
        assert (await browser.get("/whoami")).json() == 7
        assert (await browser.post("/logout")).json() is True
        assert (await browser.get("/cart")).status_code == 401


async def test_a_login_replaces_the_session_before_and_others_stay(sessions: WebSessions[Shopper]) -> None:
    async with browsers(shop(sessions), 2) as (browser, elsewhere):
        await elsewhere.post("/login")
        await browser.post("/login?user=1")
        await browser.post("/login?user=7")
        assert len(await sessions.repo.find(user=7)) == 2
        assert await sessions.repo.find(user=1) == []
        assert (await elsewhere.get("/whoami")).json() == 7


async def test_a_forged_cookie_opens_nothing(sessions: WebSessions[Shopper]) -> None:
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        cookie = browser.cookie or ""
        for place in (0, 10, 12, 30, 52):
            browser.cookie = cookie[:place] + ("A" if cookie[place] != "A" else "B") + cookie[place + 1 :]
            assert (await browser.get("/whoami")).json() is None
        browser.cookie = cookie
        assert (await browser.get("/whoami")).json() == 7


async def test_two_tabs_fill_one_cart(sessions: WebSessions[Shopper], request: pytest.FixtureRequest) -> None:
    if "nemesisdb" in request.node.name:
        pytest.skip("a NemesisDB cannot compare: of two changes of a field at once, the later write wins")
    async with Browser(shop(sessions)) as browser:
        await browser.post("/login")
        answers = await asyncio.gather(*(browser.post(f"/add?item={item}") for item in range(40)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await browser.get("/cart")).json() == {str(item): 1 for item in range(40)}
