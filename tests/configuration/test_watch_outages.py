"""Watching a store that goes away and comes back."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ndb_models import ConfigRepository, NdbClient, ResponseError
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.configuration.models import App
from tests.configuration.stepping import Time, observed
from tests.free_ports import free_port
from tests.transport.servers import GUARD, Host, Visit, honest


def server_on(port: int, store: MemoryStore) -> NdbServer:
    return NdbServer(Engine(store), ServerOptions(port=port))


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("ndb_models.config")
    ]


async def test_a_watch_outlives_a_server_that_restarts_and_reports_what_changed_meanwhile(
    time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    port = free_port()
    server = server_on(port, store)
    await server.start()
    async with asyncio.timeout(3 * GUARD), NdbClient.connect(server.uri, connect_wait=0.05) as client:
        config = ConfigRepository(client, App, namespace="app")
        async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
            await server.stop()
            for _ in range(3):  # nobody is there
                assert await observer.look() == []
            assert len(warnings_in(caplog)) == 1
            server = server_on(port, store)
            await server.start()
            while not (changes := await observer.look()):
                async with NdbClient.connect(server.uri) as other:
                    await other.kv_set({"app:debug": True})
            assert [change.fields for change in changes] == [("debug",)]
            assert len(warnings_in(caplog)) == 1
            await server.stop()
            assert await observer.look() == []
            assert len(warnings_in(caplog)) == 2  # another outage


async def test_a_connection_that_is_cut_between_two_looks_is_not_noticed(time: Time) -> None:
    async def cut(visit: Visit) -> None:
        await visit.serve(1)
        visit.abort()

    async with asyncio.timeout(GUARD), Host(cut, honest) as host, NdbClient.connect(host.uri) as client:
        config = ConfigRepository(client, App, namespace="app")
        async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
            await host.left()
            await host.engine.handle(b'{"KV_SET":{"keys":{"app:title":"t"}}}')
            assert [change.new.title for change in await observer.look()] == ["t"]


async def test_a_connection_that_stays_lost_is_waited_out_until_the_client_is_opened_again(
    time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    async with asyncio.timeout(GUARD), server_on(0, store) as first:
        client = await NdbClient.connect(first.uri, reconnect=False)
        config = ConfigRepository(client, App, namespace="app")
        async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
            await first.stop()
            assert await observer.look() == []
            assert await observer.look() == []
            assert len(warnings_in(caplog)) == 1
            async with server_on(0, store) as second:
                assert await client.open(second.uri)
                await client.kv_set({"app:debug": True})
                assert [change.fields for change in await observer.look()] == [("debug",)]
                await client.close()


async def test_an_answer_that_cannot_be_read_is_waited_out(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    async def garbling(visit: Visit) -> None:
        await visit.serve(1)
        await visit.next_request()
        await visit.send(b'{"KV_GET_RSP":{"keys":{"app:title":"canary\\ud800"},"st":1}}')
        await visit.serve()

    async with asyncio.timeout(GUARD), Host(garbling) as host, NdbClient.connect(host.uri) as client:
        config = ConfigRepository(client, App, namespace="app")
        async with observed(config.watch(clock=time, sleep=time.sleep), time) as observer:
            assert await observer.look() == []
            assert "canary" not in caplog.text
            await client.kv_set({"app:title": "t"})
            assert [change.new.title for change in await observer.look()] == ["t"]


async def test_what_the_server_refuses_ends_the_watch_with_an_error(time: Time) -> None:
    async def refusing(visit: Visit) -> None:
        await visit.next_request()
        await visit.send(b'{"KV_GET_RSP":{"m":"","st":14,"tkn":null}}')
        await visit.wait_closed()

    async with asyncio.timeout(GUARD), Host(refusing) as host, NdbClient.connect(host.uri) as client:
        watch = ConfigRepository(client, App).watch(clock=time, sleep=time.sleep)
        with pytest.raises(ResponseError) as caught:
            await anext(watch)
        assert caught.value.status == 14
