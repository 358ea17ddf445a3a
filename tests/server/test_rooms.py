"""Handshakes, probes and clients have room of their own: however many there are of one kind, the others get in."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from ndb_models.engine import Engine
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.contract import Statistics
from ndb_models.stores.memory import MemoryStore
from tests.server.half_open import half_open, has_ended
from tests.server.http_client import fetch
from tests.server.plain_client import GUARD, ask, plain
from tests.server.raw_connection import HANDSHAKE, raw
from tests.server.test_endpoints import metrics

OTHER = "127.0.0.2"
TLS = Path(__file__).parent / "tls"


@contextlib.asynccontextmanager
async def serving(store: MemoryStore | None = None, **options: object) -> AsyncIterator[NdbServer]:
    chosen = ServerOptions(port=0, **options)  # type: ignore[arg-type]  # what a test gives is what the option takes
    async with asyncio.timeout(4 * GUARD), NdbServer(Engine(store or MemoryStore()), chosen) as server:
        yield server


async def status_of_connecting(server: NdbServer, *, address: str = "127.0.0.1") -> int:
    try:
        async with plain(server, local_addr=(address, 0)):
            return 101
    except InvalidStatus as exc:
        return exc.response.status_code


async def test_probes_and_clients_get_in_however_many_handshakes_are_half_open() -> None:
    async with serving(max_connections=20) as server, half_open(server.port, 400):
        for path in ("/healthz", "/readyz", "/metrics") * 5:
            assert (await fetch(server, path)).status == 200
        assert await status_of_connecting(server) == 101


async def test_probes_are_answered_while_there_are_as_many_clients_and_handshakes_as_there_may_be() -> None:
    async with serving(max_connections=1, max_handshakes=2) as server, plain(server), half_open(server.port, 5):
        assert await status_of_connecting(server) == 503
        for _ in range(20):
            assert (await fetch(server, "/healthz")).status == 200


async def test_the_oldest_handshake_makes_room_for_the_newest() -> None:
    async with serving(max_handshakes=3) as server, half_open(server.port, 3) as first:
        assert (await metrics(server))["ndb_handshakes"] == 2  # the scrape took the place of the first
        async with half_open(server.port, 1):
            assert await has_ended(first[0])
            assert not first[2].at_eof()
            counted = await metrics(server)
    assert counted['ndb_handshakes_refused_total{reason="evicted"}'] >= 1


async def test_an_address_with_many_handshakes_evicts_its_own() -> None:
    async with (
        serving(max_handshakes=8) as server,
        half_open(server.port, 2, address=OTHER) as patient,
        half_open(server.port, 40) as flood,
    ):
        assert await has_ended(flood[0])
        assert not any(reader.at_eof() for reader in patient)


async def test_handshakes_of_tls_are_evicted_too() -> None:
    certificate = TLS / "renewed.pem"
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with (
        serving(max_handshakes=4, tls_cert=certificate, tls_key=TLS / "renewed-key.pem") as server,
        half_open(server.port, 4, request=b"") as first,
        half_open(server.port, 4, request=b""),
    ):
        for reader in first:
            assert await has_ended(reader)
        async with plain(server, ssl=trusting) as websocket:
            assert (await ask(websocket, "KV_COUNT"))["cnt"] == 0


async def test_probes_that_are_never_read_make_room_for_others() -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving(max_connections=1, max_handshakes=2) as server, half_open(server.port, 60, request=request):
        assert (await fetch(server, "/healthz")).status == 200


class BusyStore(MemoryStore):
    """Is never done with counting."""

    async def statistics(self) -> Statistics:
        await asyncio.Event().wait()
        return await super().statistics()


async def test_scrapes_that_wait_for_the_store_do_not_keep_other_probes_out() -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving(BusyStore(), stop_timeout=0.3) as server, half_open(server.port, 60, request=request):
        assert (await fetch(server, "/healthz")).status == 200


async def test_a_scrape_that_waits_for_the_store_does_not_keep_the_server_from_stopping() -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    server = NdbServer(Engine(BusyStore()), ServerOptions(port=0, stop_timeout=0.3))
    await server.start()
    async with half_open(server.port, 1, request=request):
        assert (await fetch(server, "/healthz")).status == 200
        async with asyncio.timeout(GUARD / 2):
            await server.stop()


# The request of a handshake


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 8000) for number in range(126)),
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 200) for number in range(100)) + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
    ],
    ids=["long lines", "many lines, whole", "one line without an end"],
)
@pytest.mark.parametrize("size", [1000, 16_384, 10**6])
async def test_a_request_with_too_many_bytes_of_headers_is_refused_with_431(head: bytes, size: int) -> None:
    async with serving() as server, raw(server.port) as connection:
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(head), size):
                await connection.send(head[start : start + size])
        answer = await connection.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert (await metrics(server))['ndb_handshakes_refused_total{reason="request"}'] == 1


@pytest.mark.parametrize("step", [1, 7, 10_000])
async def test_a_request_is_taken_up_to_its_last_byte(step: int) -> None:
    limit = 1024
    head = HANDSHAKE[:-2] + b"X: " + b"a" * (limit - len(HANDSHAKE) - 5) + b"\r\n\r\n"
    assert len(head) == limit
    async with serving(max_header_bytes=limit) as server, raw(server.port) as connection:
        for start in range(0, limit, step):
            await connection.send(head[start : start + step])
        assert (await connection.reader.readline()).startswith(b"HTTP/1.1 101 ")


async def test_what_a_refused_client_sends_further_is_thrown_away() -> None:
    refused = HANDSHAKE[:-2] + b"Origin: https://evil.example\r\n\r\n"
    async with serving() as server, raw(server.port) as connection:
        await connection.send(refused)
        assert (await connection.reader.readline()).startswith(b"HTTP/1.1 403 ")
        await connection.send(b"\x82\xff" + (1024 * 1024).to_bytes(8) + b"aaaa" + b"a" * 1000)
        assert b"ndb" not in await connection.rest()
        assert (await metrics(server))["ndb_received_bytes_total"] == 0


# Addresses


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one address of their own alone")
async def test_an_address_has_no_more_clients_than_it_may_and_others_are_let_in() -> None:
    async with serving(max_connections_per_address=2) as server, plain(server) as first, plain(server):
        assert await status_of_connecting(server) == 429
        assert await status_of_connecting(server, address=OTHER) == 101
        assert (await fetch(server, "/healthz")).status == 200
        await first.close()
        assert await status_of_connecting(server) == 101


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one address of their own alone")
async def test_an_address_begins_no_more_handshakes_than_it_may() -> None:
    async with serving(handshake_rate_per_address=0.5) as server:  # five at once
        assert [await status_of_connecting(server) for _ in range(6)] == [101] * 5 + [429]
        assert await status_of_connecting(server, address=OTHER) == 101
        assert (await fetch(server, "/healthz")).status == 200
        assert (await metrics(server))['ndb_handshakes_refused_total{reason="address"}'] == 1
