"""A client that is made before there is a server or an event loop: it connects at its first use."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from ndb_models import NdbClient, Repository, SessionModel
from ndb_models.errors import (
    ConnectError,
    ConnectionLostError,
    InvalidArgumentError,
    NotConnectedError,
    PayloadTooLargeError,
    SessionGoneError,
    UnavailableError,
)
from ndb_models.server import NdbServer
from tests.transport.chaos import ChaosProxy
from tests.transport.servers import GUARD, Host, deadly, refusing_port


class Login(SessionModel, schema="first-use-login"):
    username: str
    notes: str = ""


def test_a_client_at_module_level_serves_a_repository_in_the_loop_of_its_first_use() -> None:
    client = NdbClient("memory://")
    logins = Repository(client, Login)

    async def use() -> None:
        saved = await logins.save(Login(username="billy"))
        assert await logins.get(saved.tkn) == saved
        await client.close()

    asyncio.run(use())


def test_after_it_was_closed_it_is_as_new_and_may_be_used_in_another_loop(tmp_path: Path) -> None:
    client = NdbClient(f"sqlite:///{tmp_path / 'sessions.db'}")

    async def count() -> int:
        async with client:
            await asyncio.gather(*(client.kv_set({"a": 1}) for _ in range(5)))
            return await client.kv_count()

    assert [asyncio.run(count()) for _ in range(3)] == [1, 1, 1]


FIRST_USES: dict[str, Callable[[NdbClient], Awaitable[object]]] = {
    "a raw request": lambda client: client.kv_count(),
    "a creation": lambda client: Repository(client, Login).save(Login(username="billy")),
    "a read": lambda client: _missing(Repository(client, Login).get(5)),
    "an update": lambda client: _missing(Repository(client, Login).update(5, username="x")),
    "an end": lambda client: Repository(client, Login).delete(5),
    "SV_INFO": lambda client: client.sv_info(),
}


async def _missing(call: Awaitable[object]) -> None:
    with pytest.raises(SessionGoneError):
        await call


@pytest.mark.parametrize("first_use", FIRST_USES)
async def test_any_verb_may_be_the_first(first_use: str, uri: str) -> None:
    async with asyncio.timeout(GUARD), NdbClient(uri) as client:
        await FIRST_USES[first_use](client)
        assert await client.kv_count() == 0


async def test_nothing_is_connected_before_the_first_use() -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        async with NdbClient(host.uri) as client:
            await asyncio.sleep(0.05)
            assert host.handshakes == 0
        await client.close()
        assert host.handshakes == 0


async def test_first_uses_at_once_share_one_connection() -> None:
    async with asyncio.timeout(GUARD), Host() as host, NdbClient(host.uri) as client:
        assert await asyncio.gather(*(client.kv_count() for _ in range(50))) == [0] * 50
        assert host.handshakes == 1


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
async def test_first_uses_at_once_share_one_store(scheme: str, tmp_path: Path) -> None:
    uri = "memory://" if scheme == "memory" else f"sqlite:///{tmp_path / 'sessions.db'}"
    async with NdbClient(uri) as client:
        await asyncio.gather(*(client.kv_set({str(number): number}) for number in range(50)))
        assert await client.kv_count() == 50


async def test_one_of_those_that_use_it_first_may_be_cancelled() -> None:
    async with asyncio.timeout(GUARD), Host() as host, NdbClient(host.uri) as client:
        calls = [asyncio.create_task(client.kv_count()) for _ in range(5)]
        await asyncio.sleep(0)
        calls[0].cancel()
        assert await asyncio.gather(*calls[1:]) == [0] * 4
        assert host.handshakes == 1


async def test_a_server_that_comes_while_the_first_use_waits_serves_it() -> None:
    async with asyncio.timeout(GUARD), Host() as host, ChaosProxy(host.port) as proxy:
        proxy.up = False
        async with NdbClient(proxy.uri) as client:
            call = asyncio.create_task(client.kv_add({"a": 1}))
            await proxy.tried(3)
            proxy.up = True
            assert await call is True


async def test_a_server_that_stays_away_fails_it_after_connect_wait_with_the_reason_and_later_ones_at_once() -> None:
    with refusing_port() as port:
        async with asyncio.timeout(GUARD), NdbClient(f"ws://127.0.0.1:{port}/", connect_wait=0.2) as client:
            for _ in range(3):
                with pytest.raises(ConnectionLostError, match="Connection refused") as failed:
                    await client.kv_add({"a": 1})
                assert not failed.value.maybe_done


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
async def test_several_event_loops_that_use_it_first_are_served_or_refused_and_never_hang(
    scheme: str, tmp_path: Path
) -> None:
    uri = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'sessions.db'}"}[scheme]
    client, together = NdbClient(uri), Barrier(4)

    def use() -> bool:
        together.wait(GUARD)
        try:
            return asyncio.run(client.kv_set({"a": 1}))
        except InvalidArgumentError:  # it is in use in another one
            return False

    async with asyncio.timeout(GUARD):
        assert any(await asyncio.gather(*(asyncio.to_thread(use) for _ in range(4))))
        await client.close()


async def test_a_file_that_cannot_be_opened_fails_each_use_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    async with NdbClient(f"sqlite:///{folder / 'sessions.db'}") as client:
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await client.kv_count()
        folder.mkdir()
        assert await client.kv_count() == 0


async def test_without_reconnect_it_connects_at_its_first_use_all_the_same() -> None:
    async with asyncio.timeout(GUARD), Host(deadly) as host:
        async with NdbClient(host.uri, reconnect=False) as client:
            for _ in range(2):
                with pytest.raises(ConnectionLostError):
                    await client.kv_count()
        assert host.handshakes == 1
    with refusing_port() as port:
        async with NdbClient(f"ws://127.0.0.1:{port}/", reconnect=False) as client:
            with pytest.raises(ConnectError, match="refused"):
                await client.kv_count()


async def test_its_options_are_those_of_connect() -> None:
    async with (
        asyncio.timeout(GUARD),
        Host() as host,
        NdbClient(host.uri, max_payload=300, token="abc", headers={"X-Key": "k"}) as client,
    ):
        assert client.max_payload == 300
        with pytest.raises(PayloadTooLargeError):
            await client.kv_set({"a": "x" * 400})
        assert await client.kv_count() == 0


async def test_a_session_is_divided_as_the_server_takes_it_from_the_first_use_on() -> None:
    async with asyncio.timeout(GUARD), Host() as host, NdbClient(host.uri, max_payload=400) as client:
        logins = Repository(client, Login)
        saved = await logins.save(Login(username="x" * 200, notes="y" * 200))
        assert await logins.get(saved.tkn) == saved
        assert max(map(len, host.requests)) <= 400


def test_max_payload_is_known_before_the_first_use() -> None:
    assert NdbClient("memory://").max_payload is None
    assert NdbClient("sqlite:///sessions.db").max_payload is None
    assert NdbClient("ws://127.0.0.1:1/", max_payload=1024).max_payload == 1024


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        ("", {}),
        ("nothing", {}),
        ("ws://", {}),
        ("memory://?unknown=1", {}),
        ("sqlite://", {}),
        ("ws://127.0.0.1/", {"request_timeout": 0}),
        ("ws://127.0.0.1/", {"connect_wait": -1}),
        ("ws://127.0.0.1/", {"attempt_timeout": "5"}),
        ("ws://127.0.0.1/", {"token": "a b"}),
        ("ws://127.0.0.1/", {"ssl": ssl.create_default_context()}),
    ],
)
def test_what_is_wrong_is_refused_when_it_is_made(uri: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        NdbClient(uri, **options)


def test_a_token_is_never_shown() -> None:
    assert "secret" not in repr(NdbClient("ws://billy:secret@127.0.0.1/?token=secret", headers={"X-Key": "secret"}))


async def test_closing_without_a_use_does_no_harm_and_warns_of_nothing() -> None:
    client = NdbClient("ws://127.0.0.1:1/")
    await client.close()
    await client.close()
    del client
    NdbClient("ws://127.0.0.1:1/")
    gc.collect()  # a warning would be an error


async def test_one_that_is_dropped_after_a_use_warns_and_lets_go_of_the_server() -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        clients = [NdbClient(host.uri)]
        assert await clients[0].kv_count() == 0
        with pytest.warns(ResourceWarning, match="unclosed"):
            clients.clear()
        await host.left()


async def test_closing_while_the_first_use_waits_ends_it() -> None:
    async with asyncio.timeout(GUARD), Host() as host, ChaosProxy(host.port) as proxy:
        proxy.up = False
        before = asyncio.all_tasks()
        client = NdbClient(proxy.uri)
        call = asyncio.create_task(client.kv_count())
        await proxy.tried(2)
        await client.close()
        with pytest.raises(ConnectionLostError):
            await call
        assert asyncio.all_tasks() <= before


async def test_opening_it_moves_it_and_from_then_on_it_is_opened_by_hand(server: NdbServer) -> None:
    client = NdbClient("memory://")
    await client.kv_set({"a": 1})
    assert await client.open(server.uri)
    assert await client.kv_count() == 0
    await client.close()
    with pytest.raises(NotConnectedError):
        await client.kv_count()


async def test_a_client_without_a_uri_is_opened_by_hand() -> None:
    for client in (NdbClient(), NdbClient(False), NdbClient(debug=False)):
        with pytest.raises(NotConnectedError):
            await client.kv_count()
        with pytest.raises(InvalidArgumentError, match="NdbClient\\(uri\\)"):
            async with client:
                pass
    options: dict[str, Any] = {"token": "abc"}
    with pytest.raises(InvalidArgumentError, match="URI"):
        NdbClient(**options)


async def test_an_open_client_is_closed_by_its_context() -> None:
    client = await NdbClient.connect("memory://")
    async with client as entered:
        assert entered is client
    with pytest.raises(NotConnectedError):
        await client.kv_count()


def test_the_uri_is_told_without_its_secrets() -> None:
    assert NdbClient("ws://user:hunter2@sessions.example.org:1987/x?token=hunter2").uri == (
        "ws://sessions.example.org:1987/x"
    )
    assert NdbClient("memory://name").uri == "memory://name"
    assert NdbClient().uri is None
