"""Requests that wait (saving) keep their order and hold up nobody else; stopping answers what was accepted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.connection import NdbServerConnection
from ndb_models.server.server import ServerOptions
from ndb_models.stores.contract import Scope
from ndb_models.stores.memory import MemoryStore
from tests.engine.data_sets import tree
from tests.server.gated_store import GatedStore
from tests.server.plain_client import GUARD, ask, plain, receive, send


@pytest.fixture
async def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
async def gated(store: GatedStore, tmp_path: Path) -> AsyncIterator[NdbServer]:
    """A server whose saving waits for the store's gate."""
    async with NdbServer(Engine(store, persist_path=tmp_path), ServerOptions(port=0)) as server:
        yield server
        store.gate.set()


async def names_of_answers(websocket: ClientConnection, number: int) -> list[str]:
    return [next(iter(await receive(websocket))) for _ in range(number)]


async def test_requests_behind_a_save_wait_and_keep_their_order(gated: NdbServer, store: GatedStore) -> None:
    async with asyncio.timeout(GUARD), plain(gated) as websocket:
        await send(websocket, "KV_SET", keys={"a": "before"})
        await send(websocket, "KV_SAVE", name="keys")
        await send(websocket, "KV_SET", keys={"a": "after"})
        await send(websocket, "KV_GET", keys=["a"])
        await send(websocket, "SH_SAVE", name="sessions")
        await send(websocket, "KV_LOAD", name="keys")
        await send(websocket, "KV_GET", keys=["a"])
        await store.entered.wait()
        store.gate.set()
        answers = [await receive(websocket) for _ in range(7)]
    assert [next(iter(answer)) for answer in answers] == [
        f"{name}_RSP" for name in ("KV_SET", "KV_SAVE", "KV_SET", "KV_GET", "SH_SAVE", "KV_LOAD", "KV_GET")
    ]
    assert answers[1]["KV_SAVE_RSP"]["st"] == 121
    assert answers[3]["KV_GET_RSP"]["keys"] == {"a": "after"}
    assert answers[6]["KV_GET_RSP"]["keys"] == {"a": "before"}


async def test_a_save_of_one_connection_does_not_hold_up_another(gated: NdbServer, store: GatedStore) -> None:
    async with asyncio.timeout(GUARD), plain(gated) as saving, plain(gated) as other:
        await send(saving, "KV_SAVE", name="keys")
        await store.entered.wait()
        for number in range(20):
            await ask(other, "KV_SET", keys={"a": number})
            assert (await ask(other, "KV_GET", keys=["a"]))["keys"] == {"a": number}
        store.gate.set()
        assert (await receive(saving))["KV_SAVE_RSP"]["st"] == 121


async def test_more_requests_behind_a_save_than_may_wait_are_all_answered(gated: NdbServer, store: GatedStore) -> None:
    async with asyncio.timeout(GUARD), plain(gated) as websocket:
        await send(websocket, "KV_SAVE", name="keys")
        await store.entered.wait()
        for number in range(500):
            await send(websocket, "KV_SET", keys={f"key{number}": number})
        await send(websocket, "KV_COUNT")
        store.gate.set()
        assert await names_of_answers(websocket, 501) == ["KV_SAVE_RSP"] + ["KV_SET_RSP"] * 500
        assert (await receive(websocket))["KV_COUNT_RSP"]["cnt"] == 500


async def test_a_client_that_leaves_during_its_save_disturbs_nobody(gated: NdbServer, store: GatedStore) -> None:
    async with asyncio.timeout(GUARD), plain(gated) as other:
        async with plain(gated) as leaving:
            await send(leaving, "KV_SAVE", name="keys")
            await store.entered.wait()
            leaving.transport.abort()
        store.gate.set()
        assert (await ask(other, "KV_COUNT"))["cnt"] == 0
        assert (await ask(other, "KV_SAVE", name="keys"))["st"] == 121


async def test_stopping_closes_connections_as_going_away(gated: NdbServer) -> None:
    async with asyncio.timeout(GUARD), plain(gated) as first, plain(gated) as second:
        await ask(first, "KV_COUNT")
        await gated.stop()
        for websocket in (first, second):
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001


async def test_stopping_answers_what_was_accepted(gated: NdbServer, store: GatedStore) -> None:
    async def open_the_gate() -> None:
        store.gate.set()

    async with asyncio.timeout(GUARD), plain(gated) as first, plain(gated) as second:
        for websocket in (first, second):
            await send(websocket, "KV_SAVE", name="keys")
            await send(websocket, "SH_SAVE", name="sessions")
            await send(websocket, "KV_COUNT")
        await store.entered.wait()
        # Tasks begin in the order in which they are made: the server is stopping before its store goes on.
        await asyncio.gather(asyncio.create_task(gated.stop()), asyncio.create_task(open_the_gate()))
        for websocket in (first, second):
            assert await names_of_answers(websocket, 3) == ["KV_SAVE_RSP", "SH_SAVE_RSP", "KV_COUNT_RSP"]
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001


async def test_a_server_stops_although_a_client_goes_on_asking(gated: NdbServer, store: GatedStore) -> None:
    store.gate.set()

    async def keep_saving(websocket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for number in itertools.count():
                await send(websocket, "SH_SAVE", name=f"sessions{number % 2}")
                await send(websocket, "KV_COUNT")
                if number > 8:
                    await receive(websocket)
                    await receive(websocket)

    async with asyncio.timeout(GUARD), plain(gated) as websocket:
        asking = asyncio.create_task(keep_saving(websocket))
        await store.entered.wait()
        await gated.stop()
        await asking


async def test_a_stopped_server_accepts_nobody(gated: NdbServer) -> None:
    uri = gated.uri
    await gated.stop()
    with pytest.raises(ConnectionRefusedError):
        async with plain(uri):
            pass


async def test_stopping_twice_or_before_starting_does_no_harm(gated: NdbServer, store: GatedStore) -> None:
    await NdbServer(Engine(store)).stop()
    uri = gated.uri
    await gated.stop()
    await gated.stop()
    with pytest.raises(ConnectionRefusedError):
        async with plain(uri):
            pass


async def test_a_port_that_is_taken_is_an_os_error(gated: NdbServer, store: GatedStore) -> None:
    second = NdbServer(Engine(store), ServerOptions(port=gated.port))
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    await second.stop()


async def test_what_is_not_answered_in_time_is_cut_off(store: GatedStore, tmp_path: Path) -> None:
    options = ServerOptions(port=0, stop_timeout=0.05)
    async with (
        asyncio.timeout(GUARD),
        NdbServer(Engine(store, persist_path=tmp_path), options) as server,
        plain(server) as stuck,
        plain(server) as other,
    ):
        await send(stuck, "KV_SAVE", name="keys")
        await store.entered.wait()
        await server.stop()
        for websocket, code in ((stuck, 1006), (other, 1001)):
            await websocket.wait_closed()
            assert websocket.close_code == code
    assert tree(tmp_path) == {}


async def test_stopping_that_is_cancelled_cuts_off_what_is_left(gated: NdbServer, store: GatedStore) -> None:
    async with asyncio.timeout(GUARD), plain(gated) as websocket:
        await send(websocket, "KV_SAVE", name="keys")
        await store.entered.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gated.stop(), 0.05)
        await websocket.wait_closed()
        assert websocket.close_code == 1006


class TimedStore(GatedStore):
    """A store that limits the time of its own waiting, as clients of remote stores do."""

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        async with asyncio.timeout(GUARD):
            return await super().get_all(scope)


async def test_a_store_may_limit_the_time_of_its_own_waiting(tmp_path: Path) -> None:
    store = TimedStore()
    server = NdbServer(Engine(store, persist_path=tmp_path), ServerOptions(port=0))
    async with server, plain(server) as websocket:
        store.gate.set()
        assert (await ask(websocket, "KV_SAVE", name="keys"))["st"] == 121


class CutsWhatItBegins(Engine):
    """Has the connection that it serves cut just after a request was begun, before anything else runs."""

    def __init__(self, store: MemoryStore, connections: list[NdbServerConnection]) -> None:
        super().__init__(store)
        self.connections = connections

    def begin(
        self, frame: bytes, admin: bool = True, on_miss: Callable[[int], bool] | None = None
    ) -> bytes | Coroutine[Any, Any, bytes]:
        asyncio.get_running_loop().call_soon(self.connections[-1].cut)
        return super().begin(frame, admin, on_miss)


async def test_a_connection_that_is_cut_as_a_long_request_begins_leaves_no_coroutine_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections: list[NdbServerConnection] = []
    admit = NdbServerConnection.admit

    def remember(connection: NdbServerConnection, *, admin: bool) -> None:
        connections.append(connection)
        admit(connection, admin=admin)

    monkeypatch.setattr(NdbServerConnection, "admit", remember)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        engine = CutsWhatItBegins(MemoryStore(), connections)
        async with asyncio.timeout(GUARD), NdbServer(engine, ServerOptions(port=0)) as server:
            async with plain(server, max_size=None) as websocket:
                await send(websocket, "KV_SET", keys={"a": "a" * 500_000})
                with pytest.raises(ConnectionClosed):
                    await receive(websocket)
            connections.clear()
        del engine
        gc.collect()
    assert [str(each.message) for each in warned] == []
