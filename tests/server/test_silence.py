"""No log of the server holds a value, a password, or a whole token, however much the application logs."""

from __future__ import annotations

import asyncio
import logging
import secrets

import pytest

from ndb_models.server import NdbServer
from tests.server.plain_client import GUARD, ask, plain, send


async def test_an_application_that_logs_everything_logs_nothing_of_what_requests_hold(
    server: NdbServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    value, password = secrets.token_hex(), secrets.token_hex()
    async with asyncio.timeout(GUARD):
        async with plain(server, additional_headers={"Authorization": password}) as websocket:
            tkn = (await ask(websocket, "SH_NEW"))["tkn"]
            await ask(websocket, "SH_SET", tkn=tkn, keys={"a": value})
            await ask(websocket, "SH_GET", tkn=tkn, keys=["a"])
            await ask(websocket, "SH_SET", tkn=tkn, keys=value)
            await websocket.send("x" * 10_000 + value)
            await websocket.wait_closed()
        async with plain(server) as websocket:
            await send(websocket, "SH_GET", tkn=tkn, keys=["a"])
            websocket.transport.abort()
        await server.stop()
    # The client at the other end is websockets' own, and logs as it likes.
    ours = [record for record in caplog.records if record.name != "websockets.client"]
    assert ours
    formatter = logging.Formatter()
    for record in ours:
        text = formatter.format(record)
        for canary in (value, password, str(tkn)):
            assert canary not in text
