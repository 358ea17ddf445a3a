"""Each rule of the doctor, on facts made by hand: what is found, how bad it is, and that it says what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ndb_models.doctor import common_rules, configuration_rules, redis_rules, server_rules, sqlite_rules
from ndb_models.doctor.facts import (
    CertificateFacts,
    ConfigurationFacts,
    RedisFacts,
    RedisServerFacts,
    ServerFacts,
    SqliteFacts,
)
from ndb_models.doctor.findings import Finding, Severity, shown_bytes

GIB = 1024**3
DAY = 86400

SERVER = ServerFacts(
    shown="wss://a.example.org/", host="a.example.org", is_secure=True, token_bits=200, version="ndb_models/9.9.9",
    persists=True, skew=0.0, latency=0.001, open_without_token=False,
)  # fmt: skip
FILE = SqliteFacts(
    path="/data/s.db", exists=True, journal_mode="wal", quick_check=None, size=1000, free=10 * GIB, file_system="ext4"
)
SETTINGS = {
    "maxmemory_policy": "noeviction", "aof_enabled": "1", "save": "", "role": "master", "connected_slaves": "1",
    "used_memory": "1000", "maxmemory": "100000", "redis_version": "7.2.4",
}  # fmt: skip
REDIS = RedisFacts(
    shown="rediss://a.example.org", hosts=("a.example.org",), is_secure=True, has_password=True, wait_replicas=1,
    servers=(RedisServerFacts("a:6379", SETTINGS, 0.0, 0.001),),
)  # fmt: skip
CONFIGURATION = ConfigurationFacts(
    host="0.0.0.0", is_loopback=False, is_secure=True, token_bits=(200, 200), admin_tokens=1, store="sqlite:///s.db",
    max_payload=1024 * 1024, memory_left=GIB, descriptors=(10_000, 20_000), limits_guessing=True,
)  # fmt: skip


def judged(rules: Any, facts: object) -> dict[tuple[str, Severity], Finding]:
    findings = [finding for rule in rules for finding in rule(facts)]
    for finding in findings:
        is_bad = finding.severity in (Severity.PROBLEM, Severity.WARNING)
        assert finding.advice or not is_bad, f"{finding} does not say what to do"
    return {(finding.rule, finding.severity): finding for finding in findings}


@pytest.mark.parametrize(
    ("rules", "facts"),
    [
        (server_rules.RULES, SERVER),
        (sqlite_rules.RULES, FILE),
        (redis_rules.RULES, REDIS),
        (configuration_rules.RULES, CONFIGURATION),
    ],
)
def test_what_is_well_has_no_warning(rules: Any, facts: object) -> None:
    severities = {severity for _, severity in judged(rules, facts)}
    assert severities <= {Severity.OK, Severity.NOTE}


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"unreachable": "no answer"}, "reachable", "problem"),
        ({"is_secure": False}, "tls", "problem"),
        ({"open_without_token": True}, "token", "problem"),
        ({"open_without_token": True, "host": "127.0.0.1"}, "token", "note"),
        ({"token_bits": 60}, "token", "problem"),
        ({"version": ""}, "version", "warning"),
        ({"version": "0.7.2"}, "version", "warning"),
        ({"version": "0.6.1"}, "version", "problem"),
        ({"version": "0.9"}, "version", "problem"),
        ({"version": "ndb_models/0.0.1"}, "version", "note"),
        ({"skew": 3.0}, "clock", "warning"),
        ({"skew": -60.0}, "clock", "problem"),
        ({"latency": 0.2}, "latency", "warning"),
        ({"persists": False}, "persistence", "note"),
    ],
)
def test_rules_of_servers(changes: dict[str, Any], rule: str, severity: str) -> None:
    assert (rule, Severity(severity)) in judged(server_rules.RULES, replace(SERVER, **changes))


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"exists": False}, "reachable", "problem"),
        ({"unreadable": "it is a database of another program"}, "reachable", "problem"),
        ({"open_to": (("/data/s.db", "its group"),)}, "modes", "problem"),
        ({"folder_open_to": "every user of this machine"}, "modes", "warning"),
        ({"quick_check": "row 3 missing from index"}, "integrity", "problem"),
        ({"journal_mode": "delete"}, "journal", "warning"),
        ({"synchronous": "normal"}, "durability", "note"),
        ({"file_system": "nfs4"}, "file-system", "problem"),
        ({"file_system": "tmpfs"}, "file-system", "warning"),
        ({"free": 1000}, "space", "problem"),
        ({"free": 2 * GIB, "size": 3 * GIB}, "space", "warning"),
        ({"log_size": GIB}, "space", "warning"),
    ],
)
def test_rules_of_files(changes: dict[str, Any], rule: str, severity: str) -> None:
    assert (rule, Severity(severity)) in judged(sqlite_rules.RULES, replace(FILE, **changes))


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "losses", "warning"),
        ({"aof_enabled": "0"}, "losses", "warning"),
        ({"connected_slaves": "0"}, "losses", "warning"),
        ({"rdb_last_bgsave_status": "err"}, "losses", "problem"),
        ({"maxmemory": "0"}, "memory", "note"),
        ({"used_memory": "90000"}, "memory", "warning"),
        ({"redis_version": "5.0.1"}, "version", "problem"),
        ({"valkey_version": "9.0.0"}, "version", "ok"),
    ],
)
def test_rules_of_redis_settings(changes: dict[str, str], rule: str, severity: str) -> None:
    server = RedisServerFacts("a:6379", {**SETTINGS, **changes}, 0.0, 0.001)
    found = judged(redis_rules.RULES, replace(REDIS, servers=(server,)))
    assert (rule, Severity(severity)) in found
    if severity != "ok":
        assert "a:6379" in found[rule, Severity(severity)].what


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"unreachable": "no answer"}, "reachable", "problem"),
        ({"is_secure": False}, "tls", "problem"),
        ({"has_password": False}, "password", "problem"),
        ({"has_password": False, "hosts": ("127.0.0.1",)}, "password", "note"),
        ({"wait_replicas": 0}, "replication", "note"),
        ({"servers": (RedisServerFacts("a:6379", {}, None, None),)}, "losses", "note"),
        ({"servers": (RedisServerFacts("a:6379", SETTINGS, 40.0, 0.3),)}, "clock", "problem"),
        ({"servers": (RedisServerFacts("a:6379", SETTINGS, 40.0, 0.3),)}, "latency", "warning"),
    ],
)
def test_rules_of_redis(changes: dict[str, Any], rule: str, severity: str) -> None:
    assert (rule, Severity(severity)) in judged(redis_rules.RULES, replace(REDIS, **changes))


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"refused": "--host: no"}, "configuration", "problem"),
        ({"warnings": ("a.json: 'x' is not known, and passed over",)}, "configuration", "warning"),
        ({"is_secure": False, "is_insecure": True}, "address", "problem"),
        ({"token_bits": (), "is_insecure": True}, "address", "problem"),
        ({"is_insecure": True}, "insecure", "warning"),
        ({"token_bits": (200, 60)}, "tokens", "problem"),
        ({"admin_tokens": 0}, "tokens", "note"),
        ({"admin_tokens": 2}, "tokens", "warning"),
        ({"token_bits": (), "is_loopback": True}, "tokens", "note"),
        ({"store": "memory://"}, "store", "warning"),
        ({"max_payload": 2 * GIB}, "max-payload", "warning"),
        ({"max_payload": 200}, "max-payload", "note"),
        ({"store": "memory://", "max_bytes": 0}, "memory", "warning"),
        ({"store": "memory://", "max_bytes": 2 * GIB}, "memory", "problem"),
        ({"descriptors": (10_000, 1024)}, "descriptors", "warning"),
        ({"persist_path": ("/data", "every user of this machine")}, "modes", "problem"),
        ({"persist_path": ("/data", None)}, "modes", "ok"),
        ({"allow_origins": ("http://shop.example.org",)}, "origins", "warning"),
        ({"allow_origins": ("https://shop.example.org",), "token_bits": ()}, "origins", "problem"),
        ({"limits_guessing": False}, "guessing", "note"),
        ({"log_level": "debug"}, "logs", "note"),
        ({"has_dashboard": True, "writes_dashboard": True}, "dashboard", "note"),
        ({"has_dashboard": True, "token_bits": (), "is_loopback": True}, "dashboard", "warning"),
    ],
)
def test_rules_of_configurations(changes: dict[str, Any], rule: str, severity: str) -> None:
    assert (rule, Severity(severity)) in judged(configuration_rules.RULES, replace(CONFIGURATION, **changes))


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        (CertificateFacts("the certificate has expired"), "problem"),
        (CertificateFacts(None, -1.0), "problem"),
        (CertificateFacts(None, 5.0 * DAY), "warning"),
        (CertificateFacts(None, 90.0 * DAY), "ok"),
        (CertificateFacts(None), "note"),
    ],
)
def test_certificates_are_judged_by_the_days_that_are_left(facts: CertificateFacts, severity: str) -> None:
    (finding,) = common_rules.certificate(facts, 0.0)
    assert finding.severity == severity


@pytest.mark.parametrize(("version", "severity"), [(None, "problem"), ((3, 30, 0), "problem"), ((3, 45, 0), "ok")])
def test_the_version_of_sqlite(version: tuple[int, ...] | None, severity: str) -> None:
    assert [finding.severity for finding in common_rules.sqlite_version(version)] == [severity]


@pytest.mark.parametrize(
    ("size", "shown"), [(5, "5 bytes"), (2048, "2.0 KiB"), (3 * 1024**2, "3.0 MiB"), (GIB, "1.0 GiB")]
)
def test_sizes_are_shown_in_units(size: int, shown: str) -> None:
    assert shown_bytes(size) == shown
