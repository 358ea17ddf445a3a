"""`ndb-models serve` that is told to reload, alone and as several workers, some of which die meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.engine.data_sets import KEYS, metadata, write_data_set
from tests.server.http_client import fetch
from tests.server.plain_client import ask, plain
from tests.server.raw_connection import HANDSHAKE
from tests.server.test_command_line import GUARD, READY, run, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="workers are found by /proc"),
]

OLD, KEPT, NEW = (secrets.token_urlsafe(32) for _ in range(3))


@dataclass
class Serving:
    """A server with a file of tokens."""

    process: Process
    port: int
    tokens: Path
    workers: int

    def pids(self) -> list[int]:
        """Return the process ids of the workers that are alive."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def write(self, *tokens: str) -> None:
        self.tokens.write_text("".join(f"data:{token}\n" for token in tokens))

    async def generation(self) -> int:
        while True:  # a worker may be killed while it answers
            with contextlib.suppress(OSError, IndexError):
                return int((await fetch(self.port, "/readyz")).headers["ndb-generation"])

    async def reload(self) -> None:
        """Tell it to reload, and wait until that is acknowledged."""
        before = await self.generation()
        self.process.send_signal(signal.SIGHUP)
        while await self.generation() <= before:
            pass

    async def status_of(self, token: str) -> int:
        """Return the HTTP status of a handshake with a token."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(HANDSHAKE.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {token}\r\n\r\n".encode()))
                answer = await reader.readuntil(b"\r\n")
                writer.transport.abort()
                return int(answer.split()[1])

    async def next_is_ready(self) -> None:
        """Wait until one more worker says that it is ready."""
        assert self.process.stdout is not None
        assert READY.fullmatch((await self.process.stdout.readline()).decode())

    async def require(self, *, refused: str, taken: str, times: int = 30) -> None:
        for _ in range(times):
            assert await self.status_of(refused) == 401
            assert await self.status_of(taken) == 101


@pytest.fixture(params=[1, 3])
async def workers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Serving]:
    """A server that takes two tokens: one process, and three workers."""
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"data:{OLD}\ndata:{KEPT}\n")
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    flags = ("--workers", str(request.param), "--store", store, "--token-file", str(tokens), "--log-level", "info")
    async with serving(*flags) as (process, uri):
        server = Serving(process, int(uri.rstrip("/").rpartition(":")[2]), tokens, request.param)
        for _ in range(request.param - 1):
            await server.next_is_ready()
        yield server
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
        assert process.returncode == 0
        assert not any(token in errors.decode() for token in (OLD, KEPT, NEW))


async def test_a_revoked_token_is_refused_and_its_clients_are_disconnected(workers: Serving) -> None:
    uri = f"ws://127.0.0.1:{workers.port}/"
    async with contextlib.AsyncExitStack() as stack:

        async def connected(token: str) -> list[object]:
            headers = {"Authorization": f"Bearer {token}"}
            return [await stack.enter_async_context(plain(uri, additional_headers=headers)) for _ in range(6)]

        old, kept = await connected(OLD), await connected(KEPT)
        workers.write(NEW, KEPT)
        await workers.reload()
        for websocket in old:
            with pytest.raises(ConnectionClosed):
                await websocket.recv()  # type: ignore[attr-defined]  # of websockets' client
            assert websocket.close_code == 1008  # type: ignore[attr-defined]  # as above
        for websocket in kept:
            assert (await ask(websocket, "KV_COUNT"))["cnt"] == 0  # type: ignore[arg-type]  # as above
    await workers.require(refused=OLD, taken=NEW)


@pytest.mark.parametrize("workers", [3], indirect=True)
@pytest.mark.parametrize("order", ["reload, kill", "kill, reload", "reload and kill"])
async def test_no_worker_that_is_replaced_takes_a_revoked_token(workers: Serving, order: str) -> None:
    refused, taken = OLD, NEW
    for _ in range(3):
        workers.write(taken, KEPT)
        victim = workers.pids()[0]
        if order == "kill, reload":
            os.kill(victim, signal.SIGKILL)
        if order == "reload and kill":
            before = await workers.generation()
            workers.process.send_signal(signal.SIGHUP)
            os.kill(victim, signal.SIGKILL)
            workers.process.send_signal(signal.SIGHUP)
            while await workers.generation() <= before:
                pass
        else:
            await workers.reload()
        if order == "reload, kill":
            os.kill(victim, signal.SIGKILL)
        await workers.require(refused=refused, taken=taken, times=10)
        await workers.next_is_ready()
        await workers.require(refused=refused, taken=taken, times=20)
        refused, taken = taken, refused


async def test_a_reload_that_cannot_be_read_changes_nothing_and_is_said(workers: Serving) -> None:
    assert workers.process.stderr is not None
    before = await workers.generation()
    for content in ("canary", ""):
        workers.tokens.write_text(content)
        workers.process.send_signal(signal.SIGHUP)
        for _ in range(workers.workers):
            while b"all stays as it was" not in await workers.process.stderr.readline():
                pass
    assert await workers.generation() == before
    await workers.require(refused=NEW, taken=OLD, times=5)
    workers.write(NEW, KEPT)
    await workers.reload()
    await workers.require(refused=OLD, taken=NEW, times=5)


@pytest.mark.parametrize("workers", [3], indirect=True)
async def test_a_worker_that_cannot_read_its_tokens_serves_nobody_until_it_can(workers: Serving) -> None:
    assert workers.process.stderr is not None
    workers.write(NEW, KEPT)
    await workers.reload()
    workers.tokens.write_text("canary")
    os.kill(workers.pids()[0], signal.SIGKILL)
    while b"worker did not start" not in await workers.process.stderr.readline():
        pass
    await workers.require(refused=OLD, taken=NEW, times=10)
    workers.write(NEW, KEPT)
    await workers.next_is_ready()
    await workers.require(refused=OLD, taken=NEW, times=10)


async def test_tokens_cannot_be_taken_away_while_it_runs(tmp_path: Path) -> None:
    tokens, config = tmp_path / "tokens", tmp_path / "server.jsonc"
    tokens.touch(0o600)
    tokens.write_text(f"data:{OLD}\n")
    config.write_text(json.dumps({"version": 5, "ndb_models": {"tokenFile": str(tokens)}}))
    async with serving("--config", str(config)) as (process, uri):
        server = Serving(process, int(uri.rstrip("/").rpartition(":")[2]), tokens, 1)
        config.write_text('{"version":5}')
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        assert b"there are no tokens any more" in await process.stderr.readline()
        await server.require(refused=NEW, taken=OLD, times=1)
        other = tmp_path / "other"
        other.touch(0o600)
        other.write_text(f"data:{NEW}\n")
        config.write_text(json.dumps({"version": 5, "ndb_models": {"tokenFile": str(other)}}))
        await server.reload()
        await server.require(refused=OLD, taken=NEW, times=1)


@pytest.mark.unmeasured  # signals come faster than a process that is measured can take them
@pytest.mark.parametrize("count", ["1", "3"])
async def test_a_server_that_is_told_to_reload_while_it_starts_and_stops_does_both(tmp_path: Path, count: str) -> None:
    flags = ("--workers", count, "--store", f"sqlite:///{tmp_path / 'sessions.db'}")
    async with serving(*flags) as (process, _):
        for turn in itertools.count():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM if turn == 50 else signal.SIGHUP)
            await asyncio.sleep(0)
            if process.returncode is not None:
                break
        assert process.returncode == 0


async def test_a_worker_that_is_replaced_does_not_load_data_sets_over_what_clients_wrote(tmp_path: Path) -> None:
    write_data_set(tmp_path, "keys", metadata("keys", KEYS), ['{"keys":{"a":"loaded"}}'])
    flags = ("--workers", "2", "--store", f"sqlite:///{tmp_path / 'sessions.db'}")
    async with serving(*flags, "--persist-path", str(tmp_path), "--load-name", "keys") as (process, uri):
        server = Serving(process, int(uri.rstrip("/").rpartition(":")[2]), tmp_path, 2)
        async with plain(uri) as websocket:
            assert (await ask(websocket, "KV_GET", keys=["a"]))["keys"] == {"a": "loaded"}
            await ask(websocket, "KV_SET", keys={"a": "written"})
        await server.next_is_ready()
        os.kill(server.pids()[0], signal.SIGKILL)
        await server.next_is_ready()
        async with plain(uri) as websocket:
            assert (await ask(websocket, "KV_GET", keys=["a"]))["keys"] == {"a": "written"}
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert process.returncode == 0


async def test_workers_that_cannot_start_are_the_end_with_the_reason(tmp_path: Path) -> None:
    flags = ("--workers", "3", "--store", f"sqlite:///{tmp_path / 'missing' / 'sessions.db'}")
    status, output, errors = await run("serve", "--port", "0", *flags)
    assert (status, output) == (1, "")
    assert "no worker can start" in errors
    assert "missing" in errors


async def test_systemd_hears_of_workers_from_their_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(GUARD)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        async with serving("--workers", "2", "--store", f"sqlite:///{tmp_path / 'sessions.db'}") as (process, _):
            assert await asyncio.to_thread(told.recv, 100) == b"READY=1"
            process.send_signal(signal.SIGHUP)
            assert (await asyncio.to_thread(told.recv, 100)).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert await asyncio.to_thread(told.recv, 100) == b"READY=1"
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(told.recv, 100) == b"STOPPING=1"
            await process.communicate()
            assert process.returncode == 0
