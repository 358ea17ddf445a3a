"""`/healthz`, `/readyz` and `/metrics`, on the port of the WebSockets."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus, WebSocketException

from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from tests.conftest import VirtualClock
from tests.server.gated_store import GatedStore
from tests.server.http_client import fetch
from tests.server.plain_client import GUARD, ask, plain, send

DATA = secrets.token_urlsafe(32)
ADMIN = secrets.token_urlsafe(32)


async def metrics(server: NdbServer, **headers: str) -> dict[str, float]:
    """Return every sample by its name and labels."""
    answer = await fetch(server, "/metrics", **headers)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = [line.rpartition(" ") for line in answer.body.splitlines() if not line.startswith("#")]
    assert len({name for name, _, _ in samples}) == len(samples)
    return {name: float(value) for name, _, value in samples}


async def test_a_server_that_is_ready_is_healthy_and_says_so(server: NdbServer) -> None:
    for path, body in (("/healthz", "ok\n"), ("/readyz", "ready\n"), ("/healthz?full=1", "ok\n")):
        answer = await fetch(server, path)
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["cache-control"] == "no-store"


async def test_a_server_that_loads_is_healthy_but_not_ready_and_takes_no_clients() -> None:
    loading, loaded = asyncio.Event(), asyncio.Event()

    async def load() -> None:
        loading.set()
        await loaded.wait()

    server = NdbServer(Engine(MemoryStore()), ServerOptions(port=0), prepare=load)
    async with asyncio.timeout(GUARD):
        starting = asyncio.create_task(server.start())
        await loading.wait()
        assert (await fetch(server, "/healthz")).status == 200
        assert ((await fetch(server, "/readyz")).status, (await fetch(server, "/readyz")).body) == (503, "loading\n")
        with pytest.raises(InvalidStatus) as refused:
            async with plain(server):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"
        loaded.set()
        await starting
        assert (await fetch(server, "/readyz")).status == 200
        await server.stop()


async def test_a_server_that_cannot_load_stops_and_says_why() -> None:
    async def load() -> None:
        raise OSError("canary")

    server = NdbServer(Engine(MemoryStore()), ServerOptions(port=0), prepare=load)
    async with asyncio.timeout(GUARD):
        with pytest.raises(OSError, match="canary"):
            await server.start()
    await server.stop()


async def test_head_gets_the_head_and_any_other_method_is_refused(server: NdbServer) -> None:
    answer = await fetch(server, "/healthz", method="HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, "", "3")
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = await fetch(server, path, method="POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_requests_are_counted_by_command_and_status(server: NdbServer) -> None:
    async with plain(server) as websocket:
        for _ in range(3):
            await ask(websocket, "KV_SET", keys={"a": 1})
        await ask(websocket, "KV_GET", keys=["a"])
        await ask(websocket, "SH_GET", tkn=7, keys=["a"])
        await ask(websocket, "KV_SAVE", name="keys")
        await ask(websocket, "KV_LOAD", name="missing")
        await ask(websocket, "SH_CANARY")
        await websocket.send("{")
        await websocket.recv()
        samples = await metrics(server)
    counted = {name: value for name, value in samples.items() if name.startswith("ndb_requests_total")}
    assert counted == {
        'ndb_requests_total{command="KV_SET",status="Ok"}': 3,
        'ndb_requests_total{command="KV_GET",status="Ok"}': 1,
        'ndb_requests_total{command="SH_GET",status="SessionNotExist"}': 1,
        'ndb_requests_total{command="KV_SAVE",status="SaveComplete"}': 1,
        'ndb_requests_total{command="KV_LOAD",status="LoadError"}': 1,
        'ndb_requests_total{command="unknown",status="CommandNotExist"}': 1,
        'ndb_requests_total{command="unknown",status="JsonInvalid"}': 1,
    }
    assert samples["ndb_wait_seconds_count"] == 2
    assert samples["ndb_received_bytes_total"] > 200
    assert samples["ndb_sent_bytes_total"] > 200


async def test_connections_are_counted_while_they_last(server: NdbServer) -> None:
    async with plain(server), plain(server) as second:
        assert (await metrics(server))["ndb_connections"] == 2
        await second.close()
        assert (await metrics(server))["ndb_connections"] == 1
    with pytest.raises(InvalidStatus):
        async with plain(server, origin="https://evil.example"):
            pass
    samples = await metrics(server)
    assert samples["ndb_connections"] == 0
    assert samples["ndb_connections_opened_total"] == 2
    assert samples['ndb_handshakes_refused_total{reason="origin"}'] == 1


async def test_the_store_tells_of_its_sessions_keys_expiries_and_bytes(clock: VirtualClock) -> None:
    store = MemoryStore(StoreLimits(size=10_000), clock=clock)
    async with NdbServer(Engine(store), ServerOptions(port=0)) as server, plain(server) as websocket:
        tkn = (await ask(websocket, "SH_NEW"))["tkn"]
        await ask(websocket, "SH_SET", tkn=tkn, keys={"ab": 1, "c": "d"})
        await ask(websocket, "SH_NEW", expiry={"duration": 60, "deleteSession": True})
        samples = await metrics(server)
        assert (samples["ndb_sessions"], samples["ndb_session_keys"]) == (2, 2)
        assert samples["ndb_store_bytes"] == (await store.statistics()).size
        clock.move(60)
        samples = await metrics(server)
        assert (samples["ndb_sessions"], samples["ndb_expired_total"]) == (1, 1)


async def test_a_store_tells_only_what_it_counts(server: NdbServer) -> None:
    samples = await metrics(server)
    assert "ndb_store_bytes" not in samples
    assert samples["ndb_uptime_seconds"] >= 0


async def test_metrics_of_a_server_with_tokens_are_for_admins(tmp_path: Path) -> None:
    tokens = Tokens([(Role.DATA, DATA), (Role.ADMIN, ADMIN)])
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0, tokens=tokens)) as server:
        assert (await fetch(server, "/healthz")).status == 200
        assert (await fetch(server, "/readyz")).status == 200
        answer = await fetch(server, "/metrics")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="ndb_models"')
        answer = await fetch(server, "/metrics", Authorization=f"Bearer {DATA}")
        assert answer.status == 403
        assert answer.headers["www-authenticate"] == 'Bearer realm="ndb_models", error="insufficient_scope"'
        assert "ndb_connections" in await metrics(server, Authorization=f"Bearer {ADMIN}")


async def test_a_server_that_stops_answers_its_clients_and_takes_no_more(tmp_path: Path) -> None:
    store = GatedStore()
    server = NdbServer(Engine(store, persist_path=tmp_path), ServerOptions(port=0))
    async with asyncio.timeout(GUARD), server, plain(server) as websocket:
        await send(websocket, "KV_SAVE", name="keys")
        await store.entered.wait()
        uri = server.uri
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        with pytest.raises((OSError, WebSocketException, EOFError)):  # refused, or cut off, as it happens
            async with plain(uri):
                pass
        store.gate.set()
        assert b"KV_SAVE_RSP" in (await websocket.recv(decode=False))
        await stopping
