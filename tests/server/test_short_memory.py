"""A server with little memory refuses what it has no room for, and lives on; where it crashes, it says where."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from ndb_models.engine import Engine
from ndb_models.engine.handlers import ACTIONS, Action
from ndb_models.server import NdbServer
from ndb_models.server.options import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.server.plain_client import ask, plain

GUARD = 300
MIB = 1024 * 1024
LARGE = "x" * 500_000

FLOODS: dict[str, Callable[[int], dict[str, Any]]] = {
    "SH_NEW_SET": lambda number: {"tkn": number + 100, "keys": {"a": LARGE}},
    "SH_SET": lambda number: {"tkn": 7, "keys": {f"a{number}": LARGE}},
    "KV_SET": lambda number: {"keys": {f"a{number}": LARGE}},
    "KV_ARR_APPEND": lambda _number: {"key": "array", "items": [LARGE]},
    "KV_UPDATE": lambda number: {"key": "array", "path": "$[0]", "value": "x" * min(1000 * number * number, 1_000_000)},
}


async def start(*arguments: str, memory: int | None = None) -> tuple[Process, str]:
    def limit() -> None:
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    command = (sys.executable, "-m", "ndb_models", "serve", "--port", "0", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, preexec_fn=limit)
    assert process.stdout is not None
    async with asyncio.timeout(GUARD):
        line = (await process.stdout.readline()).decode()
    return process, line.split()[-1]


async def flooded(uri: str, command: str, most: int) -> int:
    """Send one kind of request until one is refused; return the status, 0 where the connection was ended."""
    with contextlib.suppress(ConnectionClosed):
        return await flooded_to_the_end(uri, command, most)
    return 0


async def flooded_to_the_end(uri: str, command: str, most: int) -> int:
    async with plain(uri) as websocket:
        for number in range(most):
            answer = await ask(websocket, command, **FLOODS[command](number))
            if answer["st"] != 1:
                return int(answer["st"])
    return 1


@pytest.mark.slow
@pytest.mark.unmeasured
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to RLIMIT_AS")
async def test_whatever_floods_the_store_the_server_lives_on_and_takes_data_again() -> None:
    process, uri = await start(memory=400 * MIB)
    try:
        async with asyncio.timeout(GUARD):
            for command in ("SH_NEW_SET", "KV_SET", "SH_SET"):
                async with plain(uri) as websocket:
                    await ask(websocket, "SH_NEW_SET", tkn=7, keys={"a": 1})
                assert await flooded(uri, command, 1000) == 42
                async with plain(uri) as websocket:
                    await ask(websocket, "SH_END_ALL")
                    await ask(websocket, "KV_CLEAR")
                    assert (await ask(websocket, "KV_SET", keys={"array": [LARGE]}))["st"] == 1
            for command in ("KV_ARR_APPEND", "KV_UPDATE"):
                assert await flooded(uri, command, 30) in (0, 1, 42, 1000)
                async with plain(uri) as websocket:
                    await ask(websocket, "KV_CLEAR")
                    assert (await ask(websocket, "KV_SET", keys={"array": [LARGE]}))["st"] == 1
        assert process.returncode is None
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.slow
async def test_a_crash_says_where_it_was() -> None:
    process, _ = await start()
    process.send_signal(signal.SIGSEGV)
    _, errors = await process.communicate()
    assert b"Fatal Python error: Segmentation fault" in errors
    assert b"running.py" in errors


@pytest.mark.parametrize(
    "frame",
    [{"SH_NEW": {}}, {"KV_SET": {"keys": {"a": 1}}}, {"SH_NEW_SET": {"tkn": 5, "keys": {"a": 1}}}],
    ids=lambda frame: next(iter(frame)),
)
async def test_a_request_without_memory_is_answered(monkeypatch: pytest.MonkeyPatch, frame: dict[str, Any]) -> None:
    def fail(*_arguments: object) -> None:
        raise MemoryError

    (command,) = frame
    monkeypatch.setitem(ACTIONS, command, Action(fail))
    engine = Engine(MemoryStore())
    (answer,) = json.loads(await engine.handle(json.dumps(frame, separators=(",", ":")).encode())).values()
    assert (answer["st"], answer["m"]) == (1000, "there is not enough memory for this request now")
    assert list(engine.answer_counts) == [(command, 1000, 1)]


async def test_an_answer_without_memory_ends_its_connection_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_answer: bytes) -> bytes:
        raise MemoryError

    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server, plain(server) as other:
        async with plain(server) as websocket:
            with monkeypatch.context() as patched:
                patched.setattr("ndb_models.server.writing.text_frame", fail)
                await websocket.send('{"SV_INFO":{}}')
                await websocket.wait_closed()
        assert (await ask(other, "SV_INFO"))["st"] == 1
