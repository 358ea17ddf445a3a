"""Rules about a store on a Redis or Valkey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ndb_models.doctor import common_rules
from ndb_models.doctor.facts import RedisFacts, RedisServerFacts
from ndb_models.doctor.findings import Finding, Rule, fine, note, problem, shown_bytes, warning
from ndb_models.stores.redis.health import THREATS
from ndb_models.web.hosts import is_loopback

_FULL: Final = 0.8
_OLDEST: Final = (6, 2)
_SLOW: Final = 0.05


def reachable(facts: RedisFacts) -> Iterator[Finding]:
    """Judge if the servers can be used."""
    if facts.unreachable is not None:
        yield problem("reachable", facts.unreachable, "start it, or correct the URI, the password or the certificate")
    else:
        names = ", ".join(server.name for server in facts.servers)
        yield fine("reachable", f"{facts.shown} answers: {names}")


def tls(facts: RedisFacts) -> Iterator[Finding]:
    """Judge the way to the servers."""
    if facts.is_secure:
        yield fine("tls", "the connection is encrypted")
    elif all(map(is_loopback, facts.hosts)):
        yield fine("tls", "the connection stays on this machine")
    else:
        advice = "use rediss:// (or rediss+cluster://), or a network that only the application reaches"
        yield problem("tls", f"passwords and sessions travel to {facts.shown} unencrypted", advice)


def password(facts: RedisFacts) -> Iterator[Finding]:
    """Judge the password."""
    if facts.has_password or facts.unreachable is not None:
        return
    if all(map(is_loopback, facts.hosts)):
        yield note(
            "password", "every program on this machine may read all sessions", "set a user with a password (ACL)"
        )
    else:
        advice = "set a user with a password (ACL), and name it in the URI: rediss://USER:PASSWORD@HOST"
        yield problem("password", "anyone that reaches the server may read and end all sessions", advice)


def losses(facts: RedisFacts) -> Iterator[Finding]:
    """Judge settings that lose sessions: eviction, persistence, replicas."""
    for server in facts.servers:
        if not server.settings:
            yield note(
                "losses", f"{server.name} does not tell its settings", "look at its eviction and persistence yourself"
            )
            continue
        threats = [text for is_threatened, text in THREATS if is_threatened(server.settings)]
        for text in threats:
            what, _, advice = text.partition("; ")
            yield warning("losses", f"{server.name}: {what}", advice or "give it a replica: docs/redis.md")
        if not threats:
            yield fine("losses", f"{server.name} keeps what it has: no eviction, persistence, replicas")


def failing_persistence(facts: RedisFacts) -> Iterator[Finding]:
    """Judge if writing to the disk has failed."""
    for server in facts.servers:
        for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"):
            if server.settings.get(name) == "err":
                advice = "look at its log and its disk: until it can write, it refuses writes or loses them in a crash"
                yield problem("losses", f"{server.name}: {name} is err", advice)


def replication(facts: RedisFacts) -> Iterator[Finding]:
    """Tell that a failover may lose writes."""
    if facts.wait_replicas or not any(_replicas(server) for server in facts.servers):
        return
    yield note(
        "replication",
        "replication is asynchronous: a failover may lose the last acknowledged writes",
        "add ?wait_replicas=1 to the URI to wait for a replica with each write",
    )


def _replicas(server: RedisServerFacts) -> int:
    count = server.settings.get("connected_slaves", "0")
    return int(count) if count.isdecimal() else 0


def memory(facts: RedisFacts) -> Iterator[Finding]:
    """Judge the memory that is left."""
    for server in facts.servers:
        used, most = (_number(server, name) for name in ("used_memory", "maxmemory"))
        if used is None or most is None:
            continue
        if not most:
            advice = "set maxmemory with maxmemory-policy noeviction: it then refuses writes, and is not killed"
            yield note("memory", f"{server.name} has no maxmemory", advice)
        elif used > most * _FULL:
            what = f"{server.name} uses {shown_bytes(used)} of {shown_bytes(most)}"
            yield warning("memory", what, "give it more memory, shorten the expiry, or add nodes to the cluster")
        else:
            yield fine("memory", f"{server.name} uses {shown_bytes(used)} of {shown_bytes(most)}")


def _number(server: RedisServerFacts, name: str) -> int | None:
    text = server.settings.get(name, "")
    return int(text) if text.isdecimal() else None


def versions(facts: RedisFacts) -> Iterator[Finding]:
    """Judge the versions of the servers."""
    for server in facts.servers:
        settings = server.settings
        if settings.get("valkey_version"):
            yield fine("version", f"{server.name} is Valkey {settings['valkey_version']}")
            continue
        version = settings.get("redis_version", "")
        parts = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
        if not parts:
            continue
        if parts < _OLDEST:
            yield problem("version", f"{server.name} is Redis {version}", "6.2 or later is needed")
        else:
            yield fine("version", f"{server.name} is Redis {version}")


def clocks(facts: RedisFacts) -> Iterator[Finding]:
    """Judge the servers' clocks."""
    for server in facts.servers:
        yield from common_rules.clock(server.name, server.skew)


def latencies(facts: RedisFacts) -> Iterator[Finding]:
    """Judge how long a command takes."""
    for server in facts.servers:
        if server.latency is not None and server.latency > _SLOW:
            advice = "each read of a session takes as long: run it nearer to the application"
            yield warning("latency", f"{server.name}: a command takes {server.latency * 1000:.2f} ms", advice)


RULES: Final[Sequence[Rule[RedisFacts]]] = (
    reachable, tls, password, losses, failing_persistence, replication, memory, versions, clocks, latencies,
)  # fmt: skip
