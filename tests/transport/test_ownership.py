"""A connection belongs to one client, one event loop and one process, and goes to the server that was named."""

from __future__ import annotations

import asyncio
import http
import subprocess
import sys

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from ndb_models import ConnectError, InvalidArgumentError, NdbClient
from ndb_models.server import NdbServer
from tests.transport.servers import GUARD, Host

FORKING = """
import asyncio, os, sys
from ndb_models import InvalidArgumentError, NdbClient

async def use(client):
    try:
        await client.kv_get(("a",))
    except InvalidArgumentError:
        return 0
    finally:
        await client.close()
    return 1

loop = asyncio.new_event_loop()
client = loop.run_until_complete(NdbClient.connect(sys.argv[1]).__aenter__())
child = os.fork()
if not child:
    os._exit(loop.run_until_complete(use(client)))
_, status = os.waitpid(child, 0)
assert loop.run_until_complete(client.kv_get(("a",))) == {"a": 1}
loop.run_until_complete(client.close())
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.slow
async def test_a_forked_process_cannot_use_the_connection_of_its_parent(server: NdbServer) -> None:
    async with NdbClient.connect(server.uri) as client:
        await client.kv_set({"a": 1})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FORKING, server.uri, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    _, complaint = await asyncio.wait_for(process.communicate(), GUARD)
    assert process.returncode == 0, complaint.decode()


def elsewhere(client: NdbClient) -> None:
    """Be refused in an event loop of its own."""

    async def use() -> None:
        with pytest.raises(InvalidArgumentError, match="event loop"):
            await client.kv_get(("a",))

    asyncio.run(use())


async def test_a_client_is_not_used_by_another_event_loop(server: NdbServer) -> None:
    async with NdbClient.connect(server.uri) as client:
        await asyncio.to_thread(elsewhere, client)
        assert await client.kv_get(("a",)) == {}


async def test_nor_is_one_that_has_lost_its_connection(server: NdbServer) -> None:
    async with NdbClient.connect(server.uri) as client:
        await server.stop()
        await asyncio.to_thread(elsewhere, client)


async def test_a_redirect_is_not_followed() -> None:
    followed: list[str] = []

    async def stay(connection: ServerConnection) -> None:
        followed.append(connection.request.path if connection.request else "")
        await connection.wait_closed()

    async with asyncio.timeout(GUARD), serve(stay, "127.0.0.1", 0) as other:
        elsewhere = f"ws://127.0.0.1:{other.sockets[0].getsockname()[1]}/"

        def send_away(connection: ServerConnection, _request: Request) -> Response:
            response = connection.respond(http.HTTPStatus.FOUND, "")
            response.headers["Location"] = elsewhere
            return response

        async with serve(stay, "127.0.0.1", 0, process_request=send_away) as named:
            with pytest.raises(ConnectError, match="302"):
                await NdbClient.connect(f"ws://127.0.0.1:{named.sockets[0].getsockname()[1]}/", headers={"X-Key": "k"})
    assert followed == []


async def test_opening_twice_at_once_leaves_one_connection_and_closing_none() -> None:
    async with asyncio.timeout(GUARD), Host() as host:
        client = NdbClient()
        assert all(await asyncio.gather(client.open(host.uri), client.open(host.uri)))
        assert await client.kv_count() == 0
        await client.close()
        await host.left()
