"""Rules about versions, clocks and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ndb_models.doctor.facts import CertificateFacts, SystemFacts
from ndb_models.doctor.findings import Finding, fine, note, problem, warning

_DAY: Final = 24 * 3600
_SOON: Final = 21
_SKEW_NOTICED: Final = 2.0
_SKEW_HARMFUL: Final = 30.0
_OLDEST_SQLITE: Final = (3, 37, 0)


def system(facts: SystemFacts) -> Iterator[Finding]:
    """Tell the versions of this process."""
    yield fine("versions", f"ndb_models {facts.package} on Python {_dotted(facts.python)}")


def sqlite_version(version: tuple[int, ...] | None) -> Iterator[Finding]:
    """Judge the SQLite that Python was built with."""
    if version is None:
        yield problem("sqlite-version", "this Python has no sqlite3", "use a Python that was built with SQLite")
    elif version < _OLDEST_SQLITE:
        yield problem("sqlite-version", f"SQLite {_dotted(version)}", "3.37 or later is needed: use a newer Python")
    else:
        yield fine("sqlite-version", f"SQLite {_dotted(version)}")


def clock(place: str, skew: float | None) -> Iterator[Finding]:
    """Judge by how much a clock differs from this one. Absolute ends are kept by the clients' clocks."""
    if skew is None:
        return
    what = f"the clock of {place} is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this one"
    advice = "synchronise both by NTP: a session ends too early or too late by the difference"
    if abs(skew) >= _SKEW_HARMFUL:
        yield problem("clock", what, advice)
    elif abs(skew) >= _SKEW_NOTICED:
        yield warning("clock", what, advice)
    else:
        yield fine("clock", f"the clocks of {place} and of this machine agree")


def certificate(facts: CertificateFacts | None, now: float) -> Iterator[Finding]:
    """Judge a certificate at a time, in seconds since 1970."""
    if facts is None:
        return
    if facts.fault is not None:
        yield problem("certificate", facts.fault, "renew the certificate, or have clients trust the one that signed it")
        return
    if facts.expires is None:
        yield note("certificate", "the end of the certificate is not known")
        return
    days = int((facts.expires - now) // _DAY)
    if days < 0:
        yield problem("certificate", "the certificate has expired", "renew it: clients refuse it")
    elif days < _SOON:
        advice = "renew it; a server takes the new one with SIGHUP, without a restart"
        yield warning("certificate", f"the certificate expires in {days} days", advice)
    else:
        yield fine("certificate", f"the certificate is valid for {days} days more")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
