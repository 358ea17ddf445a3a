"""`ndb-models serve`, as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models import __version__
from ndb_models.cli.main import main
from ndb_models.server import NdbServer
from ndb_models.server.settings import SETTINGS
from tests.server.plain_client import ask, plain

pytestmark = pytest.mark.slow

GUARD = 60
"""Seconds: starting an interpreter takes its time on a busy machine."""

READY = re.compile(r"ndb-models \S+ is ready on (wss?://127\.0\.0\.1:(\d+)/)\n")


async def start(*arguments: str) -> Process:
    command = (sys.executable, "-W", "error", "-m", "ndb_models", *arguments)
    # In its debug mode asyncio logs, as errors, handshakes of TLS that fail as they should.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE, env=environment
    )


async def run(*arguments: str) -> tuple[int | None, str, str]:
    """Run a command that ends by itself; return its status and what it wrote."""
    async with asyncio.timeout(GUARD):
        process = await start(*arguments)
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@contextlib.asynccontextmanager
async def serving(*arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """Start a server on a free port; yield it with its URI as soon as it says that it is ready."""
    process = await start("serve", "--port", "0", *arguments)
    try:
        async with asyncio.timeout(GUARD):
            assert process.stdout is not None
            line = (await process.stdout.readline()).decode()
            ready = READY.fullmatch(line)
            assert ready is not None, line
            yield process, ready[1]
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def stop(process: Process, signal_number: signal.Signals = signal.SIGTERM) -> str:
    """Tell a server to stop; return what it wrote last."""
    process.send_signal(signal_number)
    output, errors = await process.communicate()
    assert errors == b""
    assert process.returncode == 0
    return output.decode()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
async def test_a_server_says_that_it_is_ready_and_stops_cleanly_when_told(signal_number: signal.Signals) -> None:
    async with serving() as (process, uri):
        async with plain(uri) as websocket:
            assert (await ask(websocket, "SV_INFO"))["persistEnabled"] is False
        assert await stop(process, signal_number) == "ndb-models stopped\n"


async def test_a_server_that_is_told_to_stop_says_goodbye_to_its_clients() -> None:
    async with serving() as (process, uri), plain(uri) as websocket:
        await ask(websocket, "KV_COUNT")
        await stop(process)
        await websocket.wait_closed()
        assert websocket.close_code == 1001


async def test_what_one_server_saves_another_loads(tmp_path: Path) -> None:
    options = ("--persist-path", str(tmp_path))
    async with serving(*options) as (process, uri):
        async with plain(uri) as websocket:
            tkn = (await ask(websocket, "SH_NEW"))["tkn"]
            await ask(websocket, "SH_SET", tkn=tkn, keys={"a": 1})
            await ask(websocket, "KV_SET", keys={"b": [2]})
            assert (await ask(websocket, "SH_SAVE", name="sessions"))["st"] == 121
            assert (await ask(websocket, "KV_SAVE", name="keys"))["st"] == 121
        await stop(process)
    async with serving(*options) as (process, uri), plain(uri) as websocket:
        assert (await ask(websocket, "KV_COUNT"))["cnt"] == 0
        assert (await ask(websocket, "SH_LOAD", name="sessions"))["st"] == 141
        assert (await ask(websocket, "KV_LOAD", name="keys"))["st"] == 141
        assert (await ask(websocket, "SH_GET", tkn=tkn, keys=["a"]))["keys"] == {"a": 1}
        assert (await ask(websocket, "KV_GET", keys=["b"]))["keys"] == {"b": [2]}


async def test_the_largest_request_can_be_set() -> None:
    async with serving("--max-payload", "100") as (process, uri):
        async with plain(uri) as websocket:
            await websocket.send("x" * 100)
            await websocket.recv()
            await websocket.send("x" * 101)
            await websocket.wait_closed()
            assert websocket.close_code == 1009
        await stop(process)


async def test_what_one_request_may_cost_can_be_set() -> None:
    options = ("--max-search-results", "2", "--max-containers", "10", "--max-answer", "1024")
    async with serving(*options) as (process, uri):
        async with plain(uri) as websocket:
            await ask(websocket, "KV_SET", keys={"a": [1, 2, 3], "b": "x" * 600, "c": "x" * 600})
            found = await ask(websocket, "KV_FIND", path="$[*]", rsp="paths")
            assert (found["st"], found["m"]) == (4, "the search is over its budget of results: at most 2")
            assert (await ask(websocket, "KV_GET", keys=["b", "c"]))["st"] == 42
            await ask(websocket, "KV_SET", keys={"a": [[]] * 10})
            found = await ask(websocket, "KV_FIND", path="$", rsp="paths")
            assert (found["st"], "arrays and objects" in found["m"]) == (4, True)
        await stop(process)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nothing",), "nothing"),
        (("serve", "--port", "many"), "--port"),
        (("serve", "--port", "65536"), "65536 is not between 0 and 65535"),
        (("serve", "--port", "-1"), "--port"),
        (("serve", "--max-payload", "1"), "--max-payload"),
        (("serve", "--persist-path", "/no/such/directory"), "/no/such/directory is not a directory"),
        (("serve", "--unknown"), "--unknown"),
        (("serve", "--config", "/no/such/file"), "/no/such/file cannot be read"),
        (("serve", "--load-name", "keys"), "--load-path or --persist-path"),
        (("serve", "--max-sessions", "0"), "--max-sessions: 0 is not between"),
    ],
)
def test_wrong_arguments_are_status_2_with_a_line_that_says_which(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(arguments))
    written = capsys.readouterr()
    assert (ended.value.code, written.out) == (2, "")
    assert complaint in written.err
    assert written.err.count("\n") == 1


async def test_a_port_in_use_is_status_1_with_one_line(server: NdbServer) -> None:
    status, output, errors = await run("serve", "--port", str(server.port))
    assert (status, output) == (1, "")
    assert re.fullmatch(rf"ndb-models: .*{server.port}.*address already in use\n", errors)


async def test_an_address_that_others_can_reach_is_status_2_with_one_line() -> None:
    status, output, errors = await run("serve", "--host", "192.0.2.1", "--port", "0")
    assert (status, output) == (2, "")
    assert re.fullmatch(r"ndb-models: --host: 192\.0\.2\.1 .*--insecure.*\n", errors)


async def test_version() -> None:
    assert await run("--version") == (0, f"ndb-models {__version__}\n", "")


async def test_help_names_every_option() -> None:
    status, output, _ = await run("serve", "--help")
    assert status == 0
    for setting in SETTINGS:
        assert setting.flag in output


def test_the_command_is_installed_under_its_name() -> None:
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="ndb-models")
    assert command.value == "ndb_models.cli.main:main"
