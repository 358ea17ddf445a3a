"""`wss://`: with a certificate that is trusted, with one that is not, and options that do not fit.

The key beside this file is for tests alone.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from ndb_models import ConnectError, InvalidArgumentError, NdbClient
from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore

TLS = Path(__file__).with_name("tls")


@pytest.fixture
async def secure_uri() -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    engine = Engine(MemoryStore())

    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            assert isinstance(message, str)
            await connection.send(await engine.handle(message.encode()), text=True)

    async with serve(answer, "127.0.0.1", 0, ssl=context) as server:
        yield f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=TLS / "certificate.pem")


async def test_requests_are_answered_over_tls(secure_uri: str) -> None:
    async with NdbClient.connect(secure_uri, ssl=trusting()) as client:
        await client.kv_set({f"key{number}": number for number in range(100)})
        answers = await asyncio.gather(*(client.kv_get((f"key{number}",)) for number in range(100)))
    assert answers == [{f"key{number}": number} for number in range(100)]


async def test_a_certificate_that_nobody_vouches_for_is_refused(secure_uri: str) -> None:
    with pytest.raises(ConnectError, match="127"):
        await NdbClient.connect(secure_uri)
    assert await NdbClient().open(secure_uri) is False


async def test_who_is_not_trusted_is_told_why_and_how_to_trust(secure_uri: str) -> None:
    with pytest.raises(ConnectError, match=r"certificate is not trusted: .*self.signed.*ssl=") as refused:
        await NdbClient.connect(secure_uri)
    assert "speak TLS" not in str(refused.value)
    with pytest.raises(ConnectError, match=r"(?i)not trusted: .*hostname mismatch.*ssl="):
        await NdbClient.connect(secure_uri.replace("127.0.0.1", "localhost"), ssl=trusting())


async def test_a_server_without_tls_is_named_as_such() -> None:
    async def answer(_: ServerConnection) -> None: ...

    async with serve(answer, "127.0.0.1", 0) as server:
        with pytest.raises(ConnectError, match="speak TLS"):
            await NdbClient.connect(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_a_tls_context_for_an_uri_without_tls_is_an_error_of_the_call() -> None:
    with pytest.raises(InvalidArgumentError, match="wss"):
        await NdbClient.connect("ws://127.0.0.1:1/", ssl=trusting())


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer canary\n"}, {"Authorization": "canär"}, {"Bad Name": "canary"}, {"": "canary"}],
)
def test_headers_that_are_none_are_refused_without_being_shown(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        NdbClient.connect("ws://127.0.0.1:1/", headers=headers)
    assert "can" not in str(refused.value)
    assert refused.value.__cause__ is None
