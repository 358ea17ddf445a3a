"""Applications in uvicorn, on loopback: the example of ten lines, and the codes that a WebSocket client sees."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from ndb_models import SessionModel
from ndb_models.web import SessionMiddleware, WebSessions

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "tutorial" / "greeting.py"


@pytest.fixture
def greeting(tmp_path: Path) -> Iterator[str]:
    """Run the example in a process of its own; return its address."""
    command = [sys.executable, "-W", "error", "-m", "uvicorn", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--app-dir", str(EXAMPLE.parent), "greeting:app"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            running = re.search(r"running on (http://127\.0\.0\.1:\d+)", line)
            if running:
                yield running[1]
                break
        else:
            pytest.fail("".join(lines))
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_the_example_greets_each_browser_by_name(greeting: str) -> None:
    with httpx.Client(base_url=greeting) as billy, httpx.Client(base_url=greeting) as ada:
        assert billy.get("/").status_code == 401
        for browser, name in ((billy, "Billy"), (ada, "Ada")):
            assert browser.post("/", json={"name": name}).json() == f"Hello, {name}!"
        assert billy.get("/").json() == "Hello, Billy!"
        assert ada.get("/").json() == "Hello, Ada!"
        billy.cookies.clear()
        assert billy.get("/").status_code == 401


def test_the_example_does_not_log_in_by_a_link(greeting: str) -> None:
    with httpx.Client(base_url=greeting) as browser:
        assert browser.get("/", params={"name": "Eve", "new": '{"name": "Eve"}'}).status_code == 401
        for value in ({}, {"name": 7}, "Eve"):
            assert browser.post("/", json=value).status_code == 422
        assert browser.post("/", json={"name": "Eve"}, headers={"Origin": "https://evil.example"}).status_code == 403
        assert browser.get("/").status_code == 401


def test_the_example_has_ten_lines_with_its_imports() -> None:
    _, _, program = EXAMPLE.read_text("utf-8").partition('"""\n')
    lines = [line for line in program.splitlines() if line.strip()]
    assert len(lines) == 10
    assert not any(";" in line or len(line) > 100 for line in lines)


class Visitor(SessionModel, schema="in-uvicorn"):
    name: str = ""


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Serve an application with a login, a logout and a socket; return its address without the scheme."""
    sessions = WebSessions("memory://", Visitor, development=True)

    async def login(request: Request) -> Response:
        await sessions.login(request, Visitor(name="billy"))
        return Response()

    async def logout(request: Request) -> Response:
        await sessions.logout(request)
        return Response()

    async def live(websocket: WebSocket) -> None:
        async with sessions.bound(websocket) as session:
            await websocket.accept()
            async for text in websocket.iter_text():
                await websocket.send_text(f"{session.name}: {text}")

    app = Starlette(
        routes=[
            Route("/in", login, methods=["POST"]),
            Route("/out", logout, methods=["POST"]),
            WebSocketRoute("/", live),
        ],
        middleware=[Middleware(SessionMiddleware, sessions=sessions)],
        lifespan=sessions.lifespan,
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="websockets-sansio"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(60):
        while not server.started:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"{host}:{port}"
        server.should_exit = True
        await serving


async def test_a_client_sees_4401_when_it_logs_out_and_when_it_is_not_logged_in(address: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{address}") as browser:
        await browser.post("/in")
        headers = {"Cookie": f"session={browser.cookies['session']}"}
        async with connect(f"ws://{address}/", additional_headers=headers) as socket:
            await socket.send("hello")
            assert await socket.recv() == "billy: hello"
            await browser.post("/out")
            with pytest.raises(ConnectionClosedError) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "the session has ended: deleted")
        async with connect(f"ws://{address}/", additional_headers=headers) as socket:
            with pytest.raises(ConnectionClosedError) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "not logged in")
