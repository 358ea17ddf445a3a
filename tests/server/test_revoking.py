"""A reload: who lost the right to be there is shown out at once, and everyone else stays."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ndb_models import InvalidArgumentError
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from tests.server.gated_store import GatedStore
from tests.server.http_client import fetch
from tests.server.plain_client import GUARD, ask, plain, receive, send

DATA, OTHER, ADMIN, NEW = (secrets.token_urlsafe(32) for _ in range(4))


def bearer(token: str) -> dict[str, dict[str, str]]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
async def guarded(tmp_path: Path, store: GatedStore) -> AsyncIterator[NdbServer]:
    """A server that takes three tokens."""
    tokens = Tokens([(Role.DATA, DATA), (Role.DATA, OTHER), (Role.ADMIN, ADMIN)])
    options = ServerOptions(port=0, tokens=tokens, close_timeout=0.3, send_timeout=1000)  # the latter ends nobody here
    async with asyncio.timeout(GUARD), NdbServer(Engine(store, persist_path=tmp_path), options) as server:
        yield server


async def require_revoked(websocket: ClientConnection) -> None:
    with pytest.raises(ConnectionClosed):
        await websocket.recv()
    assert (websocket.close_code, websocket.close_reason) == (1008, "the token was revoked")


async def test_clients_of_a_revoked_token_are_disconnected_and_the_others_stay(guarded: NdbServer) -> None:
    async with (
        plain(guarded, **bearer(DATA)) as revoked,
        plain(guarded, **bearer(OTHER)) as other,
        plain(guarded, **bearer(ADMIN)) as admin,
    ):
        guarded.reload(Tokens([(Role.DATA, NEW), (Role.DATA, OTHER), (Role.ADMIN, ADMIN)]))
        await require_revoked(revoked)
        assert (await ask(other, "KV_COUNT"))["cnt"] == 0
        assert (await ask(admin, "KV_CLEAR"))["cnt"] == 0
    with pytest.raises(InvalidStatus):
        async with plain(guarded, **bearer(DATA)):
            pass
    async with plain(guarded, **bearer(NEW)) as new:
        assert (await ask(new, "KV_COUNT"))["cnt"] == 0
    metrics = (await fetch(guarded, "/metrics", Authorization=f"Bearer {ADMIN}")).body
    assert 'ndb_connections_ended_total{reason="revoked"} 1\n' in metrics


@pytest.mark.parametrize(("before", "role"), [(DATA, Role.ADMIN), (ADMIN, Role.DATA)], ids=["data", "admin"])
async def test_clients_whose_token_has_another_role_are_disconnected(
    guarded: NdbServer, before: str, role: Role
) -> None:
    async with plain(guarded, **bearer(before)) as websocket:
        guarded.reload(Tokens([(role, before)]))
        await require_revoked(websocket)
    async with plain(guarded, **bearer(before)) as websocket:
        status = (await ask(websocket, "KV_CLEAR"))["st"]
        assert status == (1 if role is Role.ADMIN else 14)


async def test_clients_of_a_token_that_comes_twice_or_in_another_place_stay(guarded: NdbServer) -> None:
    async with plain(guarded, **bearer(DATA)) as websocket:
        guarded.reload(Tokens([(Role.ADMIN, NEW), (Role.DATA, DATA), (Role.DATA, DATA)]))
        assert (await ask(websocket, "KV_COUNT"))["cnt"] == 0


async def test_clients_of_before_there_were_tokens_are_disconnected(server: NdbServer) -> None:
    async with plain(server) as websocket:
        server.reload(Tokens([(Role.DATA, DATA)]))
        await require_revoked(websocket)


async def test_what_a_revoked_client_sent_is_not_carried_out_any_more(guarded: NdbServer, store: GatedStore) -> None:
    async with plain(guarded, **bearer(ADMIN)) as revoked, plain(guarded, **bearer(DATA)) as other:
        await send(revoked, "KV_SAVE", name="keys")
        await send(revoked, "KV_SET", keys={"a": 1})  # waits for the save
        await store.entered.wait()
        await revoked.ping()
        guarded.reload(Tokens([(Role.DATA, DATA)]))
        await send(revoked, "KV_SET", keys={"b": 1})
        store.gate.set()
        await require_revoked(revoked)
        assert (await ask(other, "KV_COUNT"))["cnt"] == 0


async def test_a_revoked_client_that_reads_nothing_is_cut_off(guarded: NdbServer) -> None:
    async with plain(guarded, **bearer(OTHER)) as other:
        await ask(other, "KV_SET", keys={"large": "x" * 500_000})
    async with (
        plain(guarded, close_timeout=0.1, **bearer(DATA)) as revoked,
        plain(guarded, **bearer(OTHER)) as other,
    ):
        revoked.transport.pause_reading()
        for _ in range(64):
            await send(revoked, "KV_GET", keys=["large"])
        guarded.reload(Tokens([(Role.DATA, OTHER), (Role.ADMIN, ADMIN)]))
        while "ndb_connections 1\n" not in (await fetch(guarded, "/metrics", Authorization=f"Bearer {ADMIN}")).body:
            pass
        assert (await ask(other, "KV_COUNT"))["cnt"] == 1


async def test_a_client_that_was_answered_gets_these_answers_before_the_end(guarded: NdbServer) -> None:
    async with plain(guarded, **bearer(DATA)) as websocket:
        await send(websocket, "KV_COUNT")
        await (await websocket.ping())
        guarded.reload(Tokens([(Role.DATA, NEW)]))
        assert (await receive(websocket))["KV_COUNT_RSP"]["cnt"] == 0
        await require_revoked(websocket)


async def test_the_generation_grows_with_each_reload_that_is_done(guarded: NdbServer, tmp_path: Path) -> None:
    async def generations() -> tuple[str, list[str]]:
        ready = await fetch(guarded, "/readyz")
        metrics = (await fetch(guarded, "/metrics", Authorization=f"Bearer {ADMIN}")).body
        return ready.headers["ndb-generation"], [
            line for line in metrics.splitlines() if line.startswith("ndb_generation")
        ]

    tokens = Tokens([(Role.ADMIN, ADMIN)])
    assert await generations() == ("1", ["ndb_generation 1", "ndb_generation_asked 1"])
    guarded.reload(tokens)
    assert await generations() == ("2", ["ndb_generation 2", "ndb_generation_asked 2"])


async def test_a_certificate_that_cannot_be_used_revokes_nothing(tmp_path: Path) -> None:
    folder = Path(__file__).parent.parent / "transport" / "tls"
    options = ServerOptions(
        port=0, tokens=Tokens([(Role.ADMIN, ADMIN)]), tls_cert=folder / "certificate.pem", tls_key=folder / "key.pem"
    )
    async with NdbServer(Engine(GatedStore()), options) as server:
        missing = tmp_path / "missing.pem"
        with pytest.raises(InvalidArgumentError, match="cannot be read"):
            server.reload(Tokens([(Role.DATA, DATA)]), certificate=(missing, missing))
        server.reload(Tokens([(Role.ADMIN, ADMIN)]))  # with the files of before
