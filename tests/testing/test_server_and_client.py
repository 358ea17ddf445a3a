"""A server in a thread and a client for any loop: usable from every loop, from threads, and through outages."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ndb_models import (
    ConnectError,
    InvalidArgumentError,
    NdbClient,
    NotConnectedError,
    Repository,
    SessionGoneError,
    SessionModel,
    StoreError,
    UnavailableError,
)
from ndb_models.server import ServerOptions
from ndb_models.server.tokens import Role, Tokens
from ndb_models.testing import RunningServer, open_client


class Note(SessionModel, schema="testing-note"):
    text: str = "hello"


@pytest.fixture
def running() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


async def saved_and_read(client: NdbClient) -> bool:
    """Save a session, change it, read it, and end it."""
    notes = Repository(client, Note)
    note = await notes.save(Note())
    async with notes.edit(note.tkn) as edited:
        edited.text = "changed"
    read = await notes.get(note.tkn)
    return read.text == "changed" and await notes.delete(note.tkn)


def test_one_client_works_on_one_loop_after_another(there: NdbClient) -> None:
    assert [asyncio.run(saved_and_read(there)) for _ in range(3)] == [True] * 3


def test_one_client_works_on_several_loops_at_once(there: NdbClient) -> None:
    async def many() -> list[bool]:
        return await asyncio.gather(*(saved_and_read(there) for _ in range(10)))

    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(asyncio.run, many()) for _ in range(4)]
        assert all(all(each.result(30)) for each in done)


async def test_a_client_may_be_closed_in_the_test_and_again_after_it(running: RunningServer) -> None:
    with open_client(running.uri) as client:
        await client.close()
        await client.close()
        with pytest.raises(NotConnectedError):
            await client.kv_keys()


async def test_a_client_may_be_opened_anew_in_the_loop_of_the_test(running: RunningServer) -> None:
    with open_client(running.uri) as client:
        assert await client.open(running.uri)
        assert await saved_and_read(client)
        await client.close()


async def test_a_cancelled_request_leaves_the_client_usable(running: RunningServer) -> None:
    with open_client(running.uri) as client:
        for _ in range(20):
            task = asyncio.create_task(client.sh_create_session())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await saved_and_read(client)


async def test_a_session_whose_creation_was_cancelled_is_ended(running: RunningServer) -> None:
    with open_client(running.uri) as client:
        for _ in range(10):
            task = asyncio.create_task(client.sh_create_session())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        left: object = 10
        for _ in range(1000):
            left = (await client.sh_info_all())["totalSessions"]
            if not left:
                break
        assert left == 0


def test_a_client_that_cannot_connect_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        uri = f"ws://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(ConnectError), open_client(uri):
            pytest.fail("there is no server")


async def test_a_server_serves_clients_of_the_loop_that_a_test_holds(running: RunningServer) -> None:
    async with running.connect() as client:
        assert await saved_and_read(client)


async def test_an_outage_is_a_stop_and_a_start_and_loses_nothing(tmp_path: Path) -> None:
    for store in ("memory://", f"sqlite:///{tmp_path}/outage.db"):
        with RunningServer(store) as server, open_client(server.uri) as client:
            async with server.connect(connect_wait=0.05, attempt_timeout=0.5) as other:
                notes = Repository(client, Note)
                note = await notes.save(Note())
                uri = server.uri
                server.stop()
                with pytest.raises(UnavailableError):
                    await Repository(other, Note).get(note.tkn)
                server.start()
                assert server.uri == uri
                assert await notes.get(note.tkn) == note
            server.stop()
            server.stop()
            server.start()
            server.start()
            assert await notes.get(note.tkn) == note


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot keep a port")
def test_the_port_stays_its_own_while_it_is_stopped() -> None:
    with RunningServer() as server:
        port = int(server.uri.rstrip("/").rpartition(":")[2])
        server.stop()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        server.start()
        socket.create_connection(("127.0.0.1", port)).close()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_client_that_a_test_left_open_does_not_hold_up_its_end() -> None:
    loop = asyncio.new_event_loop()
    begun = loop.time()
    with RunningServer() as server:
        client = loop.run_until_complete(server.connect().__aenter__())
        loop.run_until_complete(saved_and_read(client))
    assert loop.time() - begun < 10
    loop.run_until_complete(client.close())
    loop.close()


def test_servers_side_by_side_share_nothing() -> None:
    async def tokens_of(server: RunningServer) -> object:
        async with server.connect() as client:
            await client.kv_set({"name": server.uri})
            return await client.kv_get(["name"])

    with RunningServer() as one, RunningServer() as other:
        assert one.uri != other.uri
        assert [asyncio.run(tokens_of(each)) for each in (one, other)] == [{"name": one.uri}, {"name": other.uri}]


async def test_a_server_takes_the_options_of_any_other() -> None:
    options = ServerOptions(port=0, tokens=Tokens([(Role.DATA, "a-token-of-32-characters-or-more")]), max_payload=4096)
    with RunningServer(options=options) as server:
        with pytest.raises(ConnectError):
            await server.connect()
        async with server.connect(token="a-token-of-32-characters-or-more", max_payload=4096) as client:
            assert await saved_and_read(client)


def test_a_server_that_cannot_start_says_why_and_leaves_no_thread(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"), RunningServer(options=ServerOptions(port=taken.getsockname()[1])):
            pytest.fail("the port is taken")
    (tmp_path / "no.db").write_bytes(b"this is no database, and long enough to be looked at as one" * 100)
    with pytest.raises(StoreError), RunningServer(f"sqlite:///{tmp_path}/no.db"):
        pytest.fail("the file is no store")
    with pytest.raises(InvalidArgumentError, match="there is no store"):
        RunningServer("mysql://localhost")
    with pytest.raises(InvalidArgumentError, match="was not started"):
        _ = RunningServer().uri
    assert "ndb_models.testing" not in {thread.name for thread in threading.enumerate()}


async def test_what_was_saved_is_gone_with_the_server(running: RunningServer) -> None:
    with RunningServer() as before:
        async with before.connect() as client:
            tkn = (await Repository(client, Note).save(Note())).tkn
    with open_client(running.uri) as client, pytest.raises(SessionGoneError):
        await Repository(client, Note).get(tkn)
    gc.collect()
