"""Clients that are made before their first use, in other threads, loops and processes."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from ndb_models import ConnectionLostError, InvalidArgumentError, NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.moving import backup

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


class Rated(SessionModel, schema="elsewhere-rated"):
    ratio: float = 1.0


@pytest.mark.parametrize("uri", ["memory://", "memory://elsewhere"])
def test_a_client_in_memory_that_was_made_before_a_fork_is_refused_in_the_child(uri: str) -> None:
    client = NdbClient(uri)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            asyncio.run(client.kv_set({"a": 1}))
        except InvalidArgumentError as exc:
            said = str(exc)
        os.write(writing, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert "before the process was forked" in os.read(reading, 4096).decode()
    os.close(reading)
    os.close(writing)


def test_threads_that_use_a_client_in_memory_first_share_one_store() -> None:
    client = NdbClient("memory://")

    async def write(number: int) -> None:
        await client.kv_set({str(number): number})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: asyncio.run(write(number)), range(64)))
    assert asyncio.run(client.kv_count()) == 64


async def test_a_server_that_hangs_up_when_it_is_asked_what_it_is_is_an_error() -> None:
    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            ((name, _),) = json.loads(message).items()
            await connection.send(json.dumps({f"{name}_RSP": {"st": 1, "serverVersion": "0.7.2"}}))
            if name == "SV_INFO":
                await connection.close()
                return

    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with NdbClient.connect(f"ws://127.0.0.1:{port}/") as client, asyncio.timeout(60):
            with pytest.raises((ConnectionLostError, UnstorableError)):  # as soon as its answer is believed
                await Repository(client, Rated).save(Rated(ratio=-0.0))


@pytest.mark.parametrize(
    "options",
    [{"foo": 1}, {"headers": [("a", "b")]}, {"reconnect": "no"}, {"request_timeout": 10**400}, {"keepalive": 10**400}],
    ids=str,
)
def test_options_that_are_wrong_are_named(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InvalidArgumentError, match=name):
        NdbClient("ws://127.0.0.1:1/", **options)
    with pytest.raises(InvalidArgumentError, match=name):
        NdbClient.connect("ws://127.0.0.1:1/", **options)


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "\ud800"], ids=ascii)
async def test_a_backup_to_what_is_no_name_of_a_file_is_refused(tmp_path: Any, name: str) -> None:
    async with NdbClient.connect(f"sqlite:///{tmp_path / 'a.db'}") as client:
        await client.kv_set({"a": 1})
        with pytest.raises(InvalidArgumentError):
            await backup(f"sqlite:///{tmp_path / 'a.db'}", tmp_path / name)


async def test_a_backup_replaces_no_pipe(tmp_path: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with NdbClient.connect(f"sqlite:///{tmp_path / 'a.db'}") as client:
        await client.kv_set({"a": 1})
        with pytest.raises(InvalidArgumentError, match="pipe"):
            await backup(f"sqlite:///{tmp_path / 'a.db'}", tmp_path / "pipe", overwrite=True)
