"""`wss://` from the server itself, certificates that are replaced, and addresses that need protection.

The keys in `tls` beside this file are for tests alone.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ndb_models import ConnectError, InvalidArgumentError, NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.stores.memory import MemoryStore
from tests.server.plain_client import GUARD

TOKEN = "a-token-that-is-long-enough"
HERE = Path(__file__).with_name("tls")
FIRST = Path(__file__).parent.parent / "transport" / "tls"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key, where they can be replaced."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    shutil.copy(FIRST / "certificate.pem", certificate)
    shutil.copy(FIRST / "key.pem", key)
    return certificate, key


@pytest.fixture
async def secure(files: tuple[Path, Path]) -> AsyncIterator[NdbServer]:
    options = ServerOptions(port=0, tls_cert=files[0], tls_key=files[1])
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), options) as server:
        yield server


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def test_the_server_speaks_tls(secure: NdbServer) -> None:
    assert secure.uri.startswith("wss://127.0.0.1:")
    async with NdbClient.connect(secure.uri, ssl=trusting(FIRST / "certificate.pem")) as client:
        answers = await asyncio.gather(*(client.kv_set({f"key{number}": number}) for number in range(100)))
        assert all(answers)
        assert await client.kv_count() == 100


async def test_who_does_not_speak_tls_gets_nowhere(secure: NdbServer) -> None:
    with pytest.raises(ConnectError):
        await NdbClient.connect(secure.uri.replace("wss", "ws"))


async def test_a_connection_that_does_not_begin_tls_is_closed(files: tuple[Path, Path]) -> None:
    loop = asyncio.get_running_loop()
    options = ServerOptions(port=0, tls_cert=files[0], tls_key=files[1], open_timeout=0.1)
    async with asyncio.timeout(GUARD), NdbServer(Engine(MemoryStore()), options) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as silent:
            silent.setblocking(False)
            assert await loop.sock_recv(silent, 1) == b""


async def test_tls_before_1_2_is_refused(secure: NdbServer) -> None:
    context = trusting(FIRST / "certificate.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with NdbClient.connect(secure.uri, ssl=context) as client:
        assert await client.kv_count() == 0
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ConnectError):
        await NdbClient.connect(secure.uri, ssl=context)


async def test_a_certificate_is_replaced_for_new_connections(secure: NdbServer, files: tuple[Path, Path]) -> None:
    async with NdbClient.connect(secure.uri, ssl=trusting(FIRST / "certificate.pem")) as before:
        shutil.copy(HERE / "renewed.pem", files[0])
        shutil.copy(HERE / "renewed-key.pem", files[1])
        secure.reload(None)
        async with NdbClient.connect(secure.uri, ssl=trusting(HERE / "renewed.pem")) as after:
            assert await after.kv_count() == await before.kv_count() == 0
        with pytest.raises(ConnectError):
            await NdbClient.connect(secure.uri, ssl=trusting(FIRST / "certificate.pem"))


async def test_a_new_certificate_that_cannot_be_used_leaves_the_old(
    secure: NdbServer, files: tuple[Path, Path]
) -> None:
    shutil.copy(HERE / "renewed.pem", files[0])
    with pytest.raises(InvalidArgumentError, match="no certificate with its key"):
        secure.reload(Tokens([(Role.DATA, TOKEN)]))
    async with NdbClient.connect(secure.uri, ssl=trusting(FIRST / "certificate.pem")) as client:
        assert await client.kv_count() == 0


@pytest.mark.parametrize(
    ("certificate", "key", "complaint"),
    [
        (FIRST / "certificate.pem", HERE / "renewed-key.pem", "no certificate with its key"),
        (FIRST / "key.pem", FIRST / "key.pem", "no certificate with its key"),
        (HERE / "renewed.pem", HERE / "encrypted-key.pem", "encrypted"),
        (HERE / "missing.pem", FIRST / "key.pem", "cannot be read"),
    ],
)
async def test_what_is_no_certificate_with_its_key_is_refused(certificate: Path, key: Path, complaint: str) -> None:
    server = NdbServer(Engine(MemoryStore()), ServerOptions(port=0, tls_cert=certificate, tls_key=key))
    with pytest.raises(InvalidArgumentError, match=complaint):
        await server.start()
    await server.stop()


def test_a_certificate_needs_its_key() -> None:
    for options in ({"tls_cert": FIRST / "certificate.pem"}, {"tls_key": FIRST / "key.pem"}):
        with pytest.raises(InvalidArgumentError, match="give both or none"):
            ServerOptions(**options)  # type: ignore[arg-type]  # mypy takes the values for those of any option


class TestAnAddressThatOthersCanReach:
    """Needs both, or to be meant."""

    tokens = Tokens([(Role.DATA, TOKEN)])

    async def test_is_listened_on_with_tokens_and_tls(self, files: tuple[Path, Path]) -> None:
        options = ServerOptions("0.0.0.0", 0, tokens=self.tokens, tls_cert=files[0], tls_key=files[1])
        async with NdbServer(Engine(MemoryStore()), options) as server:
            uri = f"wss://127.0.0.1:{server.port}/"
            async with NdbClient.connect(uri, ssl=trusting(files[0]), token=TOKEN) as client:
                assert await client.kv_count() == 0

    @pytest.mark.parametrize("has", ["tokens", "tls", "nothing"])
    async def test_is_refused_with_one_alone_and_the_other_is_named(self, files: tuple[Path, Path], has: str) -> None:
        options = ServerOptions(
            "0.0.0.0",
            0,
            tokens=self.tokens if has == "tokens" else None,
            tls_cert=files[0] if has == "tls" else None,
            tls_key=files[1] if has == "tls" else None,
        )
        with pytest.raises(InvalidArgumentError, match="--insecure") as refused:
            await NdbServer(Engine(MemoryStore()), options).start()
        assert ("--token-file" in str(refused.value)) is (has != "tokens")
        assert ("--tls-cert" in str(refused.value)) is (has != "tls")
