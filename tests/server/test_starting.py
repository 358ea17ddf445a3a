"""`ndb-models serve` with data to load, tokens, certificates and signals; `ndb-models health`."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import signal
import socket
import ssl
from pathlib import Path

import pytest

from ndb_models import ConnectError, NdbClient
from ndb_models.server import NdbServer
from tests.engine.data_sets import KEYS, SESSIONS, metadata, session, write_data_set
from tests.server.test_command_line import GUARD, run, serving, start, stop

pytestmark = pytest.mark.slow

TLS = Path(__file__).parent.parent / "transport" / "tls"
TOKEN = 16204359010587816757


def tls_of(folder: Path) -> tuple[str, ...]:
    """Return the flags for a certificate and its key, which is private as it should be."""
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(TLS / name, folder)
    (folder / "key.pem").chmod(0o600)
    return ("--tls-cert", str(folder / "certificate.pem"), "--tls-key", str(folder / "key.pem"))


async def test_data_sets_are_loaded_before_the_server_is_ready(tmp_path: Path) -> None:
    write_data_set(tmp_path, "keys", metadata("keys", KEYS), ['{"keys":{"a":1}}'])
    write_data_set(tmp_path, "sessions", metadata("sessions", SESSIONS), [json.dumps([session(TOKEN, {"b": 2})])])
    options = ("--load-path", str(tmp_path), "--load-name", "keys", "--load-name", "sessions")
    async with serving(*options) as (process, uri):
        async with NdbClient.connect(uri) as client:
            assert await client.kv_get(("a",)) == {"a": 1}
            assert await client.sh_get(("b",), TOKEN) == {"b": 2}
            assert (await client.sv_info())["persistEnabled"] is False
        await stop(process)


@pytest.mark.parametrize(("name", "reason"), [("missing", "no data set of this name"), ("torn", "damaged")])
async def test_data_that_cannot_be_loaded_is_status_1_with_one_line(tmp_path: Path, name: str, reason: str) -> None:
    write_data_set(tmp_path, "torn", metadata("torn", KEYS), ['{"keys":{"a":'])
    status, output, errors = await run("serve", "--port", "0", "--persist-path", str(tmp_path), "--load-name", name)
    assert (status, output) == (1, "")
    assert errors.startswith(f"ndb-models: the data set '{name}' cannot be loaded: ")
    assert reason in errors
    assert errors.count("\n") == 1


async def test_the_file_of_a_nemesisdb_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "server.jsonc"
    path.write_text('{"version":5, "ip":"127.0.0.1", "port":1, "maxPayload":1024, "canary":1} // that is all')
    async with serving("--config", str(path)) as (process, uri):
        async with NdbClient.connect(uri) as client:
            assert await client.kv_set({"a": 1})
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert b"'canary' is not known" in errors
    assert process.returncode == 0


async def test_tokens_and_certificates_are_read_anew_when_told(tmp_path: Path) -> None:
    old, new = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"data:{old}\n")
    files = (*tls_of(tmp_path), "--log-level", "info")
    trusting = ssl.create_default_context(cafile=TLS / "certificate.pem")
    async with serving("--token-file", str(tokens), *files) as (process, uri):
        assert process.stderr is not None

        async def tell(line: str) -> None:
            process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(GUARD):
                assert process.stderr is not None
                while line not in (await process.stderr.readline()).decode():
                    pass

        async with NdbClient.connect(uri, token=old, ssl=trusting) as client:
            assert await client.kv_set({"a": 1})
            tokens.write_text("canary")
            await tell("all stays as it was")
            assert await client.kv_count() == 1
            tokens.write_text(f"data:{new}\n")
            await tell("reloaded")
        async with NdbClient.connect(uri, token=new, ssl=trusting) as client:
            assert await client.kv_count() == 1
        with pytest.raises(ConnectError, match="401"):
            await NdbClient.connect(uri, token=old, ssl=trusting)
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert not any(token in errors.decode() for token in (old, new, "canary"))


async def test_health_asks_the_server_of_the_same_configuration(server: NdbServer) -> None:
    assert await run("health", "--port", str(server.port)) == (0, "", "")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        status, output, errors = await run("health", "--port", str(taken.getsockname()[1]))
        assert (status, output, errors.count("\n")) == (1, "", 1)


async def test_health_of_a_server_with_tls_that_listens_everywhere(tmp_path: Path) -> None:
    options = tls_of(tmp_path)
    async with serving(*options) as (process, uri):
        port = uri.rstrip("/").rpartition(":")[2]
        assert (await run("health", "--host", "0.0.0.0", "--port", port, *options[:2]))[0] == 0
        assert (await run("health", "--port", port))[0] == 1
        await stop(process)


async def test_several_workers_cannot_share_a_store_in_memory() -> None:
    status, output, errors = await run("serve", "--port", "0", "--workers", "2")
    assert (status, output) == (2, "")
    assert "one in memory is in one process: leave it out, or share a file (--store sqlite:///PATH)" in errors


async def test_several_workers_share_a_file(tmp_path: Path) -> None:
    async with serving("--workers", "2", "--store", f"sqlite:///{tmp_path / 'sessions.db'}") as (process, uri):
        async with NdbClient.connect(uri) as client:
            session = await client.sh_create_session()
            await client.sh_set({"a": 1}, session.tkn)
        for _ in range(16):  # whichever worker it is that the system connects them to
            async with NdbClient.connect(uri) as client:
                assert await client.sh_get(("a",), session.tkn) == {"a": 1}
        await stop(process)


async def test_limits_of_a_store_in_memory_are_none_of_a_file(tmp_path: Path) -> None:
    status, _, errors = await run("serve", "--store", f"sqlite:///{tmp_path / 'a.db'}", "--max-sessions", "5")
    assert status == 2
    assert "--max-sessions: it is for a store in memory" in errors


async def test_a_server_that_is_told_to_stop_while_it_loads_stops(tmp_path: Path) -> None:
    keys = ",".join(f'"key{number}":{number}' for number in range(200_000))
    write_data_set(tmp_path, "keys", metadata("keys", KEYS), ['{"keys":{' + keys + "}}"])
    options = ("--persist-path", str(tmp_path), "--load-name", "keys", "--log-level", "info")
    process = await start("serve", "--port", "0", *options)
    async with asyncio.timeout(GUARD):
        assert process.stderr is not None
        while b"listening" not in await process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0


async def test_systemd_is_told_when_the_server_is_ready_and_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(GUARD)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        async with serving() as (process, _):
            assert await asyncio.to_thread(told.recv, 100) == b"READY=1"
            await stop(process)
            assert await asyncio.to_thread(told.recv, 100) == b"STOPPING=1"
