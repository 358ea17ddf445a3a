"""Each message of docs/troubleshooting.md is one that the package gives, word for word."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware

from ndb_models import ConnectionLostError, JsonValue, Lookup, NdbClient, NdbError, Repository, SessionModel
from ndb_models.credentials import draw_credential
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.stores.memory import MemoryStore
from ndb_models.web import ChangedTooLateError, NotLoggedInError, SessionMiddleware, WebSessions
from tests.free_ports import free_port
from tests.nemesisdb import NemesisDbEngine
from tests.web.browsers import Browser

PAGE = (Path(__file__).parent.parent / "docs" / "troubleshooting.md").read_text("utf-8")
SHOWN = dict(re.findall(r"^### (.*)\n\n```text\n(.*)\n```$", PAGE, re.MULTILINE))

Produce: TypeAlias = Callable[[Path], Awaitable[object]]
PRODUCED: dict[str, Produce] = {}


class Visitor(SessionModel, schema="troubleshooting.visitor"):
    user: str = ""
    visits: int = 0
    notes: str = ""


class NewVisitor(SessionModel, schema="troubleshooting.visitor", version=2):
    user: str = ""


@NewVisitor.upgrade(1)
def nothing(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return keys


class Reset(SessionModel, schema="troubleshooting.reset"):
    code: int = 0


class Member(SessionModel, schema="troubleshooting.member"):
    email: Annotated[str, Lookup(unique=True)]


def produces(heading: str) -> Callable[[Produce], Produce]:
    """Register what gives the message under a heading, as an error or as a returned text."""

    def register(produce: Produce) -> Produce:
        PRODUCED[heading] = produce
        return produce

    return register


def in_memory(heading: str) -> Callable[[Callable[[NdbClient], Awaitable[object]]], None]:
    """Register what gives it on a client of a store in memory."""

    def register(act: Callable[[NdbClient], Awaitable[object]]) -> None:
        async def produce(_folder: Path) -> object:
            async with NdbClient.connect("memory://") as client:
                return await act(client)

        PRODUCED[heading] = produce

    return register


def on_nemesisdb(heading: str) -> Callable[[Callable[[Repository[Visitor]], Awaitable[object]]], None]:
    """Register what gives it on a repository on a NemesisDB."""

    def register(act: Callable[[Repository[Visitor]], Awaitable[object]]) -> None:
        async def produce(_folder: Path) -> object:
            engine = NemesisDbEngine(MemoryStore())
            async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
                return await act(Repository(client, Visitor))

        PRODUCED[heading] = produce

    return register


@produces("The server is not there")
async def _(_folder: Path) -> object:
    return await NdbClient.connect(f"ws://127.0.0.1:{free_port()}/")


@produces("The server wants a token")
async def _(_folder: Path) -> object:
    tokens = Tokens([(Role.DATA, secrets.token_urlsafe(32))])
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0, tokens=tokens)) as server:
        return await NdbClient.connect(server.uri)


@produces("The file cannot be opened")
async def _(folder: Path) -> object:
    return await NdbClient.connect(f"sqlite:///{folder}/missing/sessions.db")


@produces("It works in one place and not in a thread, a task runner or a worker")
async def _(_folder: Path) -> object:
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as one:
        return await asyncio.to_thread(asyncio.run, one.kv_get(["a"]))


@produces("Requests fail while the server restarts")
async def _(_folder: Path) -> object:
    raise ConnectionLostError("SH_NEW_SET", maybe_done=True)


@in_memory("Users are logged out")
async def _(client: NdbClient) -> object:
    return await Repository(client, Visitor).get(1)


@in_memory("The token belongs to something else")
async def _(client: NdbClient) -> object:
    reset = await Repository(client, Reset).save(Reset())
    return await Repository(client, Visitor).get(reset.tkn)


@in_memory("Old processes refuse sessions during a deployment")
async def _(client: NdbClient) -> object:
    new = await Repository(client, NewVisitor).save(NewVisitor())
    return await Repository(client, Visitor).get(new.tkn)


@in_memory("The session was written by another program")
async def _(client: NdbClient) -> object:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"user": "billy"}, tkn)
    return await Repository(client, Visitor).get(tkn)


@in_memory("The session is empty")
async def _(client: NdbClient) -> object:
    return await Repository(client, Visitor).get((await client.sh_create_session()).tkn)


@in_memory("What is stored does not fit the model")
async def _(client: NdbClient) -> object:
    visitors = Repository(client, Visitor)
    tkn = (await visitors.save(Visitor())).tkn
    await client.sh_set({"user": 5}, tkn)
    return await visitors.get(tkn)


@in_memory("A value cannot be stored")
async def _(client: NdbClient) -> object:
    visitor = Visitor()
    visitor.visits = "many"  # type: ignore[assignment]  # the mistake that is shown
    return await Repository(client, Visitor).save(visitor)


@produces("The session is too large")
async def _(_folder: Path) -> object:
    async with (
        NdbServer(Engine(MemoryStore()), ServerOptions(port=0, max_payload=1024)) as server,
        NdbClient.connect(server.uri, max_payload=1024) as client,
    ):
        return await Repository(client, Visitor).save(Visitor(notes="x" * 3000))


@in_memory("The value is taken")
async def _(client: NdbClient) -> object:
    members = Repository(client, Member)
    for _ in range(2):
        await members.save(Member(email="billy@example.com"))
    return None


@in_memory("The field is unknown")
async def _(client: NdbClient) -> object:
    wrong: dict[str, Any] = {"usr": "billy"}
    visitors = Repository(client, Visitor)
    return await visitors.update((await visitors.save(Visitor())).tkn, **wrong)


@produces("The class cannot be declared")
async def _(_folder: Path) -> object:
    class Tagged(SessionModel):
        tags: list[str] = ()  # type: ignore[assignment]  # the mistake that is shown

    return Tagged


@in_memory("Two classes have one name")
async def _(client: NdbClient) -> object:
    class Other(SessionModel, schema="troubleshooting.visitor"):
        pass

    return [Repository(client, Visitor), Repository(client, Other)]


@on_nemesisdb("A verb is not supported")
async def _(visitors: Repository[Visitor]) -> object:
    return await visitors.get((await visitors.save(Visitor())).tkn, extend=False)


@on_nemesisdb("A number cannot be stored")
async def _(visitors: Repository[Visitor]) -> object:
    return await visitors.save(Visitor(visits=2**64))


@produces("The file is locked")
async def _(folder: Path) -> object:
    async with NdbClient.connect(f"sqlite:///{folder}/sessions.db?busy_timeout=0.1") as client:
        await client.kv_set({"a": 1})
        other = sqlite3.connect(folder / "sessions.db", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            return await client.kv_set({"a": 2})
        finally:
            other.close()


@produces("The file was moved")
async def _(folder: Path) -> object:
    async with NdbClient.connect(f"sqlite:///{folder}/sessions.db") as client:
        await client.kv_set({"a": 1})
        (folder / "sessions.db").rename(folder / "elsewhere.db")
        return await client.kv_set({"a": 2})


def said_by_serve(*arguments: str) -> str:
    command = [sys.executable, "-m", "ndb_models", "serve", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30).stderr.strip()


@produces("It listens beyond this machine")
async def _(_folder: Path) -> object:
    return said_by_serve("--host", "0.0.0.0", "--port", "0")


@produces("The port is taken")
async def _(_folder: Path) -> object:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return said_by_serve("--port", str(taken.getsockname()[1]))


@produces("Several workers and memory")
async def _(_folder: Path) -> object:
    return said_by_serve("--port", "0", "--workers", "2")


@produces("Each request is a new visitor")
async def _(_folder: Path) -> object:
    raise NotLoggedInError("Visitor")


@produces("A change is lost in a stream or a background task")
async def _(_folder: Path) -> object:
    raise ChangedTooLateError("Visitor", None, ["visits"])


@produces("A form is refused with 403")
async def _(_folder: Path) -> object:
    sessions = WebSessions("memory://", Visitor)
    app = FastAPI(lifespan=sessions.lifespan, middleware=[Middleware(SessionMiddleware, sessions=sessions)])
    async with Browser(app) as browser:
        browser.cookie = str(draw_credential(1))
        return (await browser.post("/form", headers={"sec-fetch-site": "cross-site"})).text


def matches(shown: str, said: str) -> bool:
    """Compare a message with what the page shows; `...` stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("..."))), said, re.DOTALL) is not None


def test_each_message_of_the_page_is_produced_here() -> None:
    assert SHOWN.keys() == PRODUCED.keys()
    assert SHOWN.keys() == set(re.findall(r"^### (.*)$", PAGE, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("heading", PRODUCED)
async def test_the_package_says_what_the_page_shows(heading: str, tmp_path: Path) -> None:
    try:
        said = await PRODUCED[heading](tmp_path)
    except NdbError as exc:
        said = str(exc).partition("\n")[0]
    assert isinstance(said, str), "it raised no error"
    assert matches(SHOWN[heading], said), said
