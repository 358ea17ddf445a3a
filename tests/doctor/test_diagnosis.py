"""The doctor looks at real stores, servers and configurations, and changes nothing."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ndb_models import InvalidArgumentError, NdbClient
from ndb_models.doctor import Diagnosis, Severity, diagnose_configuration, diagnose_uri
from ndb_models.doctor.certificates import certificate_in_files
from ndb_models.server import ServerOptions
from ndb_models.server.tokens import Role, Tokens
from ndb_models.stores.redis.options import parse_redis_uri
from ndb_models.testing import RunningServer
from tests.redis_uris import redis_uri

TOKEN = "data-token-of-the-tests-0123456789"


def found(diagnosis: Diagnosis, rule: str) -> list[str]:
    return [finding.severity for finding in diagnosis.findings if finding.rule == rule]


async def test_a_server_is_looked_at() -> None:
    with RunningServer() as server:
        diagnosis = await diagnose_uri(server.uri)
    assert diagnosis.is_healthy(strict=True)
    assert [found(diagnosis, rule) for rule in ("reachable", "version", "clock", "token")] == [
        ["ok"], ["ok"], ["ok"], ["note"],
    ]  # fmt: skip
    assert json.loads(json.dumps(diagnosis.as_json()))["counts"]["problem"] == 0


async def test_a_server_with_tokens_is_found_to_ask_for_one() -> None:
    options = ServerOptions(port=0, tokens=Tokens([(Role.DATA, TOKEN)]), stop_timeout=0.1, close_timeout=0.1)
    with RunningServer(options=options) as server:
        with_token = await diagnose_uri(server.uri, token=TOKEN)
        without = await diagnose_uri(server.uri)
    assert found(with_token, "token") == ["ok"]
    assert found(without, "reachable") == ["problem"]
    assert TOKEN not in json.dumps(with_token.as_json())


async def test_a_server_that_is_not_there_is_a_problem() -> None:
    diagnosis = await diagnose_uri("ws://127.0.0.1:9/")
    assert not diagnosis.is_healthy()


async def test_a_file_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with NdbClient.connect(f"sqlite:///{path}") as client:
        await client.kv_set({"a": 1})
    before = path.read_bytes()
    diagnosis = await diagnose_uri(f"sqlite:///{path}")
    wrong = [each for each in diagnosis.findings if each.severity is not Severity.OK]
    assert [each.rule for each in wrong] in ([], ["file-system"])  # the files of tests may lie in memory
    assert found(diagnosis, "integrity") == ["ok"]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


async def test_a_file_in_use_is_looked_at(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/s.db"
    async with NdbClient.connect(uri) as client:
        await client.kv_set({"a": 1})
        assert found(await diagnose_uri(uri), "reachable") == ["ok"]
        await client.kv_set({"a": 2})


async def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    diagnosis = await diagnose_uri(f"sqlite:///{tmp_path}/none.db")
    assert found(diagnosis, "reachable") == ["problem"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="modes do not show access")
async def test_a_file_that_others_can_read_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with NdbClient.connect(f"sqlite:///{path}") as client:
        await client.kv_set({"a": 1})
    path.chmod(0o644)
    diagnosis = await diagnose_uri(f"sqlite:///{path}")
    assert found(diagnosis, "modes") == ["problem"]
    assert f"chmod go-rwx {path}" in next(each.advice for each in diagnosis.findings if each.rule == "modes")


async def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with NdbClient.connect(f"sqlite:///{path}") as client:
        await client.kv_set({f"key{number}": "x" * 500 for number in range(200)})
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(os.urandom(20 * 4096))
    assert found(await diagnose_uri(f"sqlite:///{path}"), "integrity") == ["problem"]


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be one" * 100])
async def test_what_is_no_store_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(content)
    assert not (await diagnose_uri(f"sqlite:///{path}")).is_healthy()


async def test_a_database_of_another_program_is_said_to_be_one(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    diagnosis = await diagnose_uri(f"sqlite:///{tmp_path}/s.db")
    assert "another program" in next(each.what for each in diagnosis.findings if each.rule == "reachable")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_a_redis_is_looked_at(kind: str) -> None:
    diagnosis = await diagnose_uri(redis_uri(kind))
    assert found(diagnosis, "reachable") == ["ok"]
    assert set(found(diagnosis, "clock")) == {"ok"}
    assert "warning" in found(diagnosis, "losses")  # servers of tests have no replicas
    assert set(found(diagnosis, "version")) == {"ok"}


async def test_a_password_is_never_shown() -> None:
    diagnosis = await diagnose_uri("redis://user:pass-word-12345@127.0.0.1:9/")
    assert not diagnosis.is_healthy()
    assert "pass-word" not in json.dumps(diagnosis.as_json())


async def test_a_store_in_memory_is_a_warning() -> None:
    diagnosis = await diagnose_uri("memory://")
    assert diagnosis.is_healthy()
    assert not diagnosis.is_healthy(strict=True)


@pytest.mark.parametrize("uri", ["http://127.0.0.1/", "sqlite://", "redis://", "nothing"])
async def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidArgumentError):
        await diagnose_uri(uri)


async def test_a_configuration_is_looked_at_with_its_store(tmp_path: Path) -> None:
    async with NdbClient.connect(f"sqlite:///{tmp_path}/s.db") as client:
        await client.kv_set({"a": 1})
    file = tmp_path / "server.json"
    file.write_text(
        json.dumps({"version": 5, "unknown": 1, "ndb_models": {"store": f"sqlite:///{tmp_path}/s.db"}}), "utf-8"
    )
    diagnosis = await diagnose_configuration({"config": str(file)}, {"NDB_TOKEN": "a" * 24})
    assert found(diagnosis, "configuration") == ["ok", "warning"]
    assert found(diagnosis, "tokens") == ["problem"]
    assert found(diagnosis, "integrity") == ["ok"]
    assert "aaaaaaa" not in json.dumps(diagnosis.as_json())


async def test_a_configuration_that_serve_refuses_is_a_problem() -> None:
    unsafe = await diagnose_configuration({}, {"NDB_HOST": "0.0.0.0"})
    assert found(unsafe, "configuration") == ["problem"]
    unreadable = await diagnose_configuration({"config": "/no/such/file"}, {})
    assert "--config" in unreadable.findings[1].what
    assert unreadable.counts[Severity.PROBLEM] == 1


def certificate(folder: Path, *, begin: int, end: int) -> tuple[Path, Path]:
    """Make a certificate, valid from and until so many days from now, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begin))
        .not_valid_after(now + timedelta(days=end))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    paths[1].chmod(0o600)
    return paths


def test_the_end_of_a_certificate_is_read_from_its_file(tmp_path: Path) -> None:
    facts = certificate_in_files(*certificate(tmp_path, begin=-1, end=10))
    assert facts.fault is None
    assert facts.expires is not None
    assert 9 < (facts.expires - time.time()) / 86400 < 11


@pytest.mark.parametrize(("begin", "end", "said"), [(-20, -10, "expired"), (10, 20, "not valid yet")])
def test_a_certificate_at_the_wrong_time_is_a_fault(tmp_path: Path, begin: int, end: int, said: str) -> None:
    assert said in (certificate_in_files(*certificate(tmp_path, begin=begin, end=end)).fault or "")


async def test_a_configuration_whose_certificate_ends_soon_is_a_warning(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, begin=-1, end=10)
    diagnosis = await diagnose_configuration({}, {"NDB_TLS_CERT": str(cert), "NDB_TLS_KEY": str(key)})
    assert found(diagnosis, "certificate") == ["warning"]


def test_files_that_are_no_pair_are_a_fault(tmp_path: Path) -> None:
    one, _ = certificate(tmp_path, begin=-1, end=10)
    (tmp_path / "other").mkdir()
    _, other = certificate(tmp_path / "other", begin=-1, end=10)
    assert certificate_in_files(one, other).fault is not None


async def test_a_certificate_that_no_one_trusts_is_a_problem(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, begin=-1, end=10)
    options = ServerOptions(port=0, tls_cert=cert, tls_key=key, stop_timeout=0.1, close_timeout=0.1)
    with RunningServer(options=options) as server:
        diagnosis = await diagnose_uri(server.uri)
    assert found(diagnosis, "certificate") == ["problem"]
    assert found(diagnosis, "reachable") == ["problem"]


@pytest.mark.slow
async def test_a_redis_that_tells_little_is_looked_at_as_far_as_it_goes() -> None:
    uri = redis_uri("valkey")
    parsed = parse_redis_uri(uri)
    host, port = parsed.addresses[0]
    admin = redis.Redis(host=host, port=port, username=parsed.user, password=parsed.password, decode_responses=True)
    admin.acl_setuser("doctor", enabled=True, passwords=["+doctor"], keys=["*"], commands=["+@all", "-info", "-config"])
    try:
        limited = await diagnose_uri(f"redis://doctor:doctor@{host}:{port}/")
        wrong = await diagnose_uri(f"redis://doctor:wrong-password@{host}:{port}/")
    finally:
        admin.acl_deluser("doctor")
        admin.close()
    assert found(limited, "reachable") == ["ok"]
    assert found(limited, "losses") == ["note"]
    assert found(wrong, "reachable") == ["problem"]
    assert "wrong-password" not in json.dumps(wrong.as_json())
