"""Gather the facts about a URI or a configuration, and judge them by the rules."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ndb_models.client.uri import EmbeddedUri, MemoryUri, WebSocketUri, parse_uri
from ndb_models.clocks import wall_clock
from ndb_models.doctor import common_rules, configuration_rules, redis_rules, server_rules, sqlite_rules
from ndb_models.doctor.facts import SystemFacts
from ndb_models.doctor.findings import Finding, Rule, Severity, warning
from ndb_models.doctor.gathering_configuration import configuration_facts
from ndb_models.doctor.gathering_servers import server_facts
from ndb_models.types import Clock
from ndb_models.version import __version__
from ndb_models.web.audited import store_settings

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings about one subject: a URI without credentials, or `configuration`."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> Counter[Severity]:
        """How many findings there are of each severity."""
        return Counter(finding.severity for finding in self.findings)

    def is_healthy(self, *, strict: bool = False) -> bool:
        """Return True if there is no problem; with `strict`, no warning either."""
        return not self.counts[Severity.PROBLEM] and not (strict and self.counts[Severity.WARNING])

    def as_json(self) -> dict[str, Any]:
        """Return the diagnosis as values of JSON."""
        return {
            "subject": self.subject,
            "counts": {severity: self.counts[severity] for severity in Severity},
            "findings": [finding._asdict() for finding in self.findings],
        }


async def diagnose_uri(uri: str, *, token: str | None = None, clock: Clock = wall_clock) -> Diagnosis:
    """Look at the store or the server of a URI. Nothing is changed, and a missing file is not created.

    Args:
        uri: as of `NdbClient.connect`.
        token: the bearer token of a server.
        clock: the time in seconds.

    Raises:
        InvalidArgumentError: the URI names no store, or an extra that it needs is not installed.
    """
    findings = [*common_rules.system(_system()), *await _of_uri(uri, token, clock)]
    return Diagnosis(store_settings(uri).shown, tuple(findings))


async def diagnose_configuration(
    given: Mapping[str, Any], environment: Mapping[str, str], *, clock: Clock = wall_clock
) -> Diagnosis:
    """Look at the configuration of a server, and at its store.

    Args:
        given: the texts of flags, by the names of settings; `config` names the file.
        environment: the variables.
        clock: the time in seconds.

    Raises:
        InvalidArgumentError: an extra that the store needs is not installed.
    """
    facts, settings = await asyncio.to_thread(configuration_facts, given, environment)
    findings = [*common_rules.system(_system()), *_judged(configuration_rules.RULES, facts)]
    findings += common_rules.certificate(facts.certificate, clock())
    if settings is not None and not settings.store.startswith("memory:"):
        findings += await _of_uri(settings.store, None, clock)
    return Diagnosis("configuration", tuple(findings))


def _judged(rules: Iterable[Rule[F]], facts: F) -> Iterator[Finding]:
    for rule in rules:
        yield from rule(facts)


async def _of_uri(uri: str, token: str | None, clock: Clock) -> list[Finding]:
    parsed = parse_uri(uri)
    if isinstance(parsed, WebSocketUri):
        server = await server_facts(parsed, token)
        return [*_judged(server_rules.RULES, server), *common_rules.certificate(server.certificate, clock())]
    if isinstance(parsed, MemoryUri):
        return [warning("store", "a store in memory ends with its process", "use sqlite:///PATH, a Redis, or a server")]
    return await _of_file(uri) if isinstance(parsed, EmbeddedUri) else await _of_redis(uri)


async def _of_file(uri: str) -> list[Finding]:
    from ndb_models.doctor.gathering_sqlite import sqlite_facts  # some Pythons have no sqlite3
    from ndb_models.stores.sqlite.options import parse_sqlite_uri

    facts = await asyncio.to_thread(sqlite_facts, parse_sqlite_uri(uri))
    return [*common_rules.sqlite_version(_system().sqlite), *_judged(sqlite_rules.RULES, facts)]


async def _of_redis(uri: str) -> list[Finding]:
    from ndb_models.doctor.gathering_redis import redis_facts
    from ndb_models.stores.redis.options import parse_redis_uri

    return [*_judged(redis_rules.RULES, await redis_facts(parse_redis_uri(uri)))]


def _system() -> SystemFacts:
    try:
        import sqlite3
    except ModuleNotFoundError:
        version = None
    else:
        version = sqlite3.sqlite_version_info
    return SystemFacts((sys.version_info.major, sys.version_info.minor), __version__, version)
