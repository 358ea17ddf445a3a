"""Rules about a server behind `ws://` or `wss://`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ndb_models.doctor import common_rules
from ndb_models.doctor.facts import ServerFacts
from ndb_models.doctor.findings import Finding, Rule, fine, note, problem, warning
from ndb_models.protocol.servers import OWN_SERVER, SUPPORTED
from ndb_models.web.audit_surroundings import FEWEST_BITS
from ndb_models.web.hosts import is_loopback

_SLOW: Final = 0.05
_NEMESISDB: Final = re.compile(r"(\d+)\.(\d+)(\.\d+)*")
_WITH_SESSIONS: Final = ((0, 7), (0, 8))


def reachable(facts: ServerFacts) -> Iterator[Finding]:
    """Judge if the server can be used."""
    if facts.unreachable is not None:
        advice = "start it, or correct the URI, the token or the certificate; `ndb-models serve` runs one"
        yield problem("reachable", facts.unreachable, advice)
    else:
        yield fine("reachable", f"{facts.shown} answers")


def tls(facts: ServerFacts) -> Iterator[Finding]:
    """Judge the way to the server."""
    if facts.is_secure:
        yield fine("tls", "the connection is encrypted")
    elif is_loopback(facts.host):
        yield fine("tls", "the connection stays on this machine")
    else:
        yield problem(
            "tls",
            f"tokens and sessions travel to {facts.shown} unencrypted",
            "serve with --tls-cert and --tls-key, and use wss://; or use a tunnel from this machine",
        )


def token(facts: ServerFacts) -> Iterator[Finding]:
    """Judge if the server asks for a token."""
    if facts.token_bits is not None and facts.token_bits < FEWEST_BITS:
        what = f"the token can hold no more than {facts.token_bits} bits of randomness"
        yield problem("token", what, "make another: `ndb-models tokens new`")
    if facts.open_without_token is None:
        return
    if not facts.open_without_token:
        yield fine("token", "the server asks for a token")
    elif is_loopback(facts.host):
        yield note("token", "every program on this machine may use the server", "serve with --token-file")
    else:
        advice = "serve with --token-file: `ndb-models tokens new` makes a token"
        yield problem("token", "anyone that reaches the server may read and end all sessions", advice)


def version(facts: ServerFacts) -> Iterator[Finding]:
    """Judge the server's version."""
    if facts.unreachable is not None:
        return
    if facts.version.startswith(OWN_SERVER):
        yield from _own_version(facts.version.removeprefix(OWN_SERVER))
        return
    found = _NEMESISDB.fullmatch(facts.version)
    if found is None:
        yield warning(
            "version", "the server does not tell its version", "use NemesisDB 0.7 to 0.8, or `ndb-models serve`"
        )
    elif (int(found[1]), int(found[2])) not in _WITH_SESSIONS:
        advice = f"use a NemesisDB of {SUPPORTED}, or `ndb-models serve`"
        yield problem("version", f"NemesisDB {facts.version} has no sessions of this kind", advice)
    else:
        yield warning(
            "version",
            f"NemesisDB {facts.version}: it drops answers to slow readers, its tokens can be predicted, it cannot"
            " compare and set, list, or read without extending",
            "`ndb-models serve` has none of these faults; docs/connection.md says what the client does about them",
        )


def _own_version(served: str) -> Iterator[Finding]:
    from ndb_models.version import __version__

    if served == __version__:
        yield fine("version", f"ndb_models {served}, as here")
    elif served.isprintable():
        yield note(
            "version", f"the server is ndb_models {served[:20]}, and this is {__version__}", "update both together"
        )


def clock(facts: ServerFacts) -> Iterator[Finding]:
    """Judge the server's clock."""
    yield from common_rules.clock(facts.shown, facts.skew)


def latency(facts: ServerFacts) -> Iterator[Finding]:
    """Judge how long a request takes."""
    if facts.latency is None:
        return
    what = f"a request takes {facts.latency * 1000:.2f} ms"
    if facts.latency > _SLOW:
        yield warning("latency", what, "each read of a session takes as long: run the server nearer to the application")
    else:
        yield fine("latency", what)


def persistence(facts: ServerFacts) -> Iterator[Finding]:
    """Tell whether data sets can be saved."""
    if facts.persists is False:
        yield note("persistence", "SH_SAVE and KV_SAVE are refused", "serve with --persist-path for data sets")


RULES: Final[Sequence[Rule[ServerFacts]]] = (reachable, tls, token, version, clock, latency, persistence)
