"""The messages in the tables "What can go wrong" are those that a reader gets."""

import multiprocessing
import os
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient

from ndb_models import JsonValue, NdbClient, NdbError, Repository, SessionModel
from ndb_models.cli.main import main
from ndb_models.errors import SchemaError
from ndb_models.sync import SyncClient
from ndb_models.testing import RunningServer
from ndb_models.web import SessionMiddleware, WebSessions
from tests.guides.pages import ROOT


class UserSession(SessionModel, schema="guides.messages"):
    username: str
    cart: dict[str, int] = {}


def assert_on(page: str, message: str) -> None:
    """Assert that a page has this message between backticks, or the longest part of it that it quotes."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    quoted = [part for part in text.split("`")[1::2] if len(part) > 20]
    assert any(part in message for part in quoted), f"{page} does not quote: {message}"


async def message_of(doing: Awaitable[object]) -> str:
    with pytest.raises(NdbError) as raised:
        await doing
    return str(raised.value)


@pytest.fixture
async def users() -> AsyncIterator[Repository[UserSession]]:
    async with NdbClient.connect("memory://") as client:
        yield Repository(client, UserSession)


async def test_the_first_session(users: Repository[UserSession]) -> None:
    page = "tutorial/first_session.md"
    session = await users.create(UserSession(username="billy"))
    assert_on(page, await message_of(users.update(session.tkn, usernme="ada")))  # type: ignore[ndb-field]  # the mistake
    session.cart = 7  # type: ignore[assignment]  # the mistake
    assert_on(page, await message_of(users.save(session)))
    await users.delete(session.tkn)
    assert_on(page, await message_of(users.get(session.tkn)))
    assert_on(page, await message_of(users.get("abc")))  # type: ignore[arg-type]  # the mistake
    assert_on(page, await message_of(NdbClient().kv_count()))


def application(sessions: WebSessions[UserSession], *, with_middleware: bool = True) -> FastAPI:
    app = FastAPI(lifespan=sessions.lifespan)
    if with_middleware:
        app.add_middleware(SessionMiddleware, sessions=sessions)

    @app.get("/")
    async def greet(user: Annotated[UserSession, Depends(sessions.current)]) -> str:
        return user.username

    @app.post("/login")
    async def login(request: Request) -> None:
        await sessions.login(request, UserSession(username="billy"))

    @app.get("/devices")
    async def devices(request: Request) -> None:
        await sessions.devices(request)

    @app.get("/dict")
    async def as_dict(request: Request) -> dict[str, JsonValue]:
        return dict(request.session)

    return app


@pytest.mark.parametrize("page", ["tutorial/in_fastapi.md", "how_to/starlette.md"])
def test_no_middleware(page: str) -> None:
    app = application(WebSessions("memory://", UserSession), with_middleware=False)
    with TestClient(app, base_url="https://testserver") as browser, pytest.raises(NdbError) as raised:
        browser.get("/")
    assert_on(page, str(raised.value))


def test_refusals_of_the_middleware() -> None:
    app = application(WebSessions("memory://", UserSession, development=True))
    with TestClient(app, base_url="http://example.org") as browser:
        assert_on("tutorial/in_fastapi.md", browser.get("/").text)
    with TestClient(app, base_url="http://localhost") as browser:
        browser.post("/login")
        refused = browser.post("/login", headers={"origin": "https://example.org"})
    assert_on("tutorial/in_fastapi.md", refused.text)
    assert_on("how_to/fastapi.md", refused.text)


@pytest.mark.parametrize("page", ["how_to/starlette.md", "coming_from/starlette_sessions.md"])
def test_no_dict(page: str) -> None:
    app = application(WebSessions("memory://", UserSession))
    with TestClient(app, base_url="https://testserver") as browser, pytest.raises(NdbError) as raised:
        browser.get("/dict")
    assert_on(page, str(raised.value))


def test_no_records() -> None:
    app = application(WebSessions("memory://", UserSession))
    with TestClient(app, base_url="https://testserver") as browser:
        browser.post("/login")
        with pytest.raises(SchemaError) as raised:
            browser.get("/devices")
    assert_on("tutorial/devices.md", str(raised.value))
    with pytest.raises(SchemaError) as raised:
        WebSessions[UserSession]("memory://", UserSession).require_fresh(minutes=10)
    assert_on("how_to/fastapi.md", str(raised.value))


def test_a_secure_cookie_over_plain_http(caplog: pytest.LogCaptureFixture) -> None:
    with TestClient(application(WebSessions("memory://", UserSession)), base_url="http://localhost") as browser:
        browser.post("/login")
    assert_on("tutorial/deployment.md", caplog.text)


async def test_places_that_cannot_be_opened(tmp_path: Path) -> None:
    async def connect(uri: str) -> None:
        async with NdbClient.connect(uri):
            pass

    page = "tutorial/expiry_and_logout.md"
    assert_on(page, await message_of(connect("sqlite://sessions.db")))
    assert_on(page, await message_of(connect(f"sqlite:///{tmp_path}/missing/sessions.db")))


def test_a_missing_step() -> None:
    class Changed(SessionModel, schema="guides.messages.changed", version=2):
        pass

    with pytest.raises(SchemaError) as raised:
        Repository(NdbClient("memory://"), Changed)
    assert_on("tutorial/changing_a_model.md", str(raised.value).replace("@Changed", "@UserSession"))


def test_a_server_that_refuses_or_is_away(ndb_server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    ndb_server.stop()
    client = NdbClient(ndb_server.uri, connect_wait=1)
    with TestClient(application(WebSessions(client, UserSession))):
        assert_on("tutorial/deployment.md", caplog.text)


def test_what_the_command_line_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert_on("tutorial/deployment.md", capsys.readouterr().err)
    assert main(["backup", "--store", f"sqlite:///{tmp_path}/sessions.db", "--to", f"{tmp_path}/backup.db"]) == 2
    assert_on("how_to/backups.md", capsys.readouterr().err.replace(f"{tmp_path}/", ""))
    with SyncClient(f"sqlite:///{tmp_path}/sessions.db") as client:
        client.kv_count()
    for _ in range(2):
        main(["backup", "--store", f"sqlite:///{tmp_path}/sessions.db", "--to", f"{tmp_path}/backup.db"])
    assert_on("how_to/backups.md", capsys.readouterr().err.replace(f"{tmp_path}/", ""))


def _use(client: SyncClient, results: Any) -> None:
    try:
        client.kv_count()
    except NdbError as exc:
        results.put(str(exc))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_clients_that_were_opened_before_a_fork(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    in_memory = SyncClient("memory://")
    in_file = SyncClient()
    in_file.open(f"sqlite:///{tmp_path}/sessions.db")
    for client in (in_memory, in_file):
        client.kv_count()
        child = context.Process(target=_use, args=(client, results))
        child.start()
        child.join(30)
        assert_on("how_to/flask.md", results.get())
        client.close()


async def test_a_session_of_another_client() -> None:
    async with NdbClient.connect("memory://") as client:
        session = await client.sh_create_session()
        await client.sh_set({"username": "billy"}, session.tkn)
        message = await message_of(Repository(client, UserSession).get(session.tkn))
    assert_on("coming_from/nemesisdb.md", message)
