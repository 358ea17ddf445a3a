"""Rules about the configuration of a server."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from ndb_models.doctor.facts import ConfigurationFacts
from ndb_models.doctor.findings import Finding, Rule, fine, note, problem, shown_bytes, warning
from ndb_models.web.audit_surroundings import FEWEST_BITS

_LARGE_PAYLOAD: Final = 64 * 1024 * 1024
_SMALL_PAYLOAD: Final = 1024


def startable(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge if `serve` would start."""
    if facts.refused is not None:
        yield problem("configuration", facts.refused, "correct the setting that the line names")
    else:
        yield fine("configuration", "`ndb-models serve` would start with it")


def warned(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Repeat the warnings of `serve`: unknown keys, and secrets that others can read."""
    for text in facts.warnings:
        what, _, advice = text.partition("; ")
        yield warning("configuration", what, advice or "correct or remove it")


def address(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge the address, and its protection."""
    if facts.refused is not None:
        return
    if facts.is_loopback:
        yield fine("address", f"only this machine reaches {facts.host}")
        return
    where = facts.host or "every address"
    if not facts.is_secure:
        advice = "add --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS"
        yield problem("address", f"tokens and sessions travel to {where} unencrypted", advice)
    if not facts.token_bits:
        yield problem("address", f"anyone that reaches {where} may read and end all sessions", "add --token-file")
    if facts.is_secure and facts.token_bits:
        yield fine("address", f"other machines reach {where} by TLS, and with a token")


def insecure(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge a leave that is not needed."""
    if facts.is_insecure and facts.refused is None and (facts.is_loopback or (facts.is_secure and facts.token_bits)):
        yield warning(
            "insecure", "--insecure is set and not needed", "leave it out, so that a later mistake is refused"
        )


def tokens(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge the strength of the tokens."""
    weak = [bits for bits in facts.token_bits if bits < FEWEST_BITS]
    if weak:
        what = f"{len(weak)} of {len(facts.token_bits)} tokens can hold no more than {max(weak)} bits of randomness"
        yield problem("tokens", what, "make them anew: `ndb-models tokens new`")
    elif facts.token_bits:
        yield fine("tokens", f"{len(facts.token_bits)} tokens, long enough")
        if not facts.admin_tokens:
            advice = "add a line admin:TOKEN for operators: metrics, lists, saves"
            yield note("tokens", "no token is an admin's", advice)
        if facts.admin_tokens == len(facts.token_bits):
            advice = "give applications a token of their own, in a line data:TOKEN: it cannot end or list all sessions"
            yield warning("tokens", "every token is an admin's", advice)
    elif facts.refused is None and facts.is_loopback:
        yield note("tokens", "every program on this machine may use the server", "add --token-file")


def store(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge if sessions survive a restart."""
    if facts.refused is None and facts.store.startswith("memory:"):
        kept = facts.persist_path is not None
        advice = "use --store sqlite:///PATH, or a Redis" + (", or save data sets" if kept else "")
        yield warning("store", "sessions are in memory: they end with the process", advice)


def payload(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge the size of the largest request."""
    if facts.max_payload > _LARGE_PAYLOAD:
        advice = "lower --max-payload: decoding one request holds up all others, and each client may send one"
        yield warning("max-payload", f"a request may have {shown_bytes(facts.max_payload)}", advice)
    elif 0 < facts.max_payload < _SMALL_PAYLOAD:
        advice = "raise --max-payload: larger sessions are split, and a large field cannot be stored"
        yield note("max-payload", f"a request may have {facts.max_payload} bytes only", advice)


def memory(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge the limit of a store in memory."""
    if not facts.store.startswith("memory:") or facts.memory_left is None:
        return
    if facts.max_bytes == 0:
        yield warning(
            "memory", "the store may take any memory", "set --max-bytes: the system kills a process that takes all"
        )
    elif facts.max_bytes is not None and facts.max_bytes > facts.memory_left:
        what = f"--max-bytes is {shown_bytes(facts.max_bytes)}, and {shown_bytes(facts.memory_left)} are left"
        yield problem("memory", what, "lower it, or give the process more memory")


def descriptors(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge if there are descriptors for all clients."""
    needed, most = facts.descriptors
    if needed > most:
        what = f"{needed:.0f} descriptors may be needed, and {most:.0f} can be opened: fewer clients are let in"
        yield warning(
            "descriptors", what, f"raise the limit (LimitNOFILE={needed:.0f} in systemd), or lower --max-connections"
        )


def persist_path(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge the mode of the folder of data sets."""
    if facts.persist_path is None:
        return
    path, users = facts.persist_path
    if users is not None:
        yield problem("modes", f"{path} is open to {users}", f"make it private with: chmod 700 {shlex.quote(path)}")
    else:
        yield fine("modes", f"only its owner reads the data sets in {path}")


def origins(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge the pages that may connect."""
    for origin in facts.allow_origins:
        if origin.startswith("http:") and "//localhost" not in origin and "//127." not in origin:
            yield warning(
                "origins", f"pages of {origin} may connect, and a network can alter them", "allow https:// only"
            )
    if facts.allow_origins and not facts.token_bits:
        advice = "add --token-file: any page of that origin reaches all sessions"
        yield problem("origins", "pages may connect without a token", advice)


def guessing(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge if guessing tokens is limited."""
    if facts.refused is None and not facts.is_loopback and not facts.limits_guessing:
        advice = "set --miss-rate and --miss-rate-per-address: docs/server_attacks.md, Guessing"
        yield note("guessing", "clients may name any number of tokens", advice)


def dashboard(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge the status page."""
    if not facts.has_dashboard or facts.refused is not None:
        return
    if not facts.token_bits:
        page = "end sessions" if facts.writes_dashboard else "see sessions"
        what = f"every program on this machine may {page} by the status page"
        yield warning("dashboard", what, "add --token-file with a line admin:TOKEN")
    elif facts.writes_dashboard:
        yield note("dashboard", "the status page may end sessions", "leave out --dashboard-write if no one needs that")


def logs(facts: ConfigurationFacts) -> Iterator[Finding]:
    """Judge how much is logged."""
    if facts.log_level == "debug":
        yield note(
            "logs", "the log level is debug: each probe is a line", "use --log-level info or warning in production"
        )


RULES: Final[Sequence[Rule[ConfigurationFacts]]] = (
    startable, warned, address, insecure, tokens, store, payload, memory, descriptors, persist_path, origins, guessing,
    dashboard, logs,
)  # fmt: skip
