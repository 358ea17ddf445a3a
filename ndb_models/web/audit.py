"""Judge the settings of web sessions by the requirements of OWASP and NIST. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from ndb_models.errors import InvalidArgumentError
from ndb_models.redaction import quoted
from ndb_models.web import audit_cookies, audit_lifetimes, audit_origins, audit_surroundings, audit_users
from ndb_models.web.audit_judging import Judge
from ndb_models.web.audited import Aal, AuditedSettings, Finding, Verdict


class Rule(NamedTuple):
    """A rule: its name, the requirements that it judges, and the function."""

    name: str
    requirements: tuple[str, ...]
    judge: Judge


# "ASVS 7.3.1" is a requirement of OWASP's Application Security Verification Standard 5.0, "NIST 5.1" a section of SP
# 800-63B-4, and "sheet:" a section of OWASP's Session Management Cheat Sheet.
RULES: Final = (
    Rule("development", ("ASVS 3.3.1", "ASVS 3.3.3", "NIST 5.1 (4)"), audit_cookies.development),
    Rule("secure", ("ASVS 3.3.1", "NIST 5.1 (4)", "NIST 5.1.1 (1)", "sheet: Secure"), audit_cookies.secure),
    Rule(
        "host-prefix",
        ("ASVS 3.3.3", "NIST 5.1.1 (2)", "NIST 5.1.1 (5)", "sheet: Domain and Path"),
        audit_cookies.host_prefix,
    ),
    Rule("http-only", ("ASVS 3.3.4", "NIST 5.1.1 (3)", "sheet: HttpOnly"), audit_cookies.http_only),
    Rule("same-site", ("ASVS 3.3.2", "NIST 5.1.1 (6)", "sheet: SameSite"), audit_cookies.same_site),
    Rule("cookie-size", ("ASVS 3.3.5",), audit_cookies.cookie_size),
    Rule("cookie-scope", ("sheet: Several cookies",), audit_cookies.cookie_scope),
    Rule(
        "absolute",
        ("ASVS 7.1.1", "ASVS 7.3.2", "NIST 5.1 (5)", "NIST 5.2", "sheet: Absolute timeout"),
        audit_lifetimes.absolute,
    ),
    Rule("idle", ("ASVS 7.1.1", "ASVS 7.3.1", "NIST 5.1 (5)", "NIST 5.2", "sheet: Idle timeout"), audit_lifetimes.idle),
    Rule("browser-end", ("NIST 5.1 persistence", "sheet: Expires and Max-Age"), audit_lifetimes.browser_end),
    Rule("renewal", ("ASVS 7.2.4", "sheet: Renewal at a change of rights"), audit_lifetimes.renewal),
    Rule("renewal-by-time", ("sheet: Renewal timeout",), audit_lifetimes.renewal_by_time),
    Rule("grace", ("ASVS 7.2.4", "sheet: Renewal timeout"), audit_lifetimes.grace),
    Rule("all-sessions", ("ASVS 7.4.2", "ASVS 7.4.3", "ASVS 7.4.5"), audit_users.all_sessions),
    Rule("devices", ("ASVS 7.5.1", "ASVS 7.5.2", "ASVS 7.5.3", "sheet: Simultaneous sessions"), audit_users.devices),
    Rule("concurrent", ("ASVS 7.1.2",), audit_users.concurrent),
    Rule("csrf", ("ASVS 3.5.1", "ASVS 4.4.2"), audit_origins.csrf),
    Rule("csrf-token", ("ASVS 3.5.1",), audit_origins.csrf_token),
    Rule("trusted-origins", ("ASVS 3.5.1",), audit_origins.trusted_origins),
    Rule("cors", ("ASVS 3.4.2",), audit_origins.cors),
    Rule("adopted", ("ASVS 7.2.3", "ASVS 11.2.3"), audit_surroundings.adopted),
    Rule("store-link", ("ASVS 12.3.1",), audit_surroundings.store_link),
    Rule("shared-store", ("ASVS 7.4.1",), audit_surroundings.shared_store),
    Rule("debug", ("ASVS 13.4.2",), audit_surroundings.debug),
    Rule("other-sessions", ("ASVS 7.4.1",), audit_surroundings.other_sessions),
)


RULE_NAMES: Final = tuple(rule.name for rule in RULES)
"""The names of the rules, in the order of their findings."""


def audit(settings: AuditedSettings, *, aal: Aal = 1, accept: Collection[str] = ()) -> list[Finding]:
    """Judge settings by each requirement that depends on them.

    Args:
        settings: of one middleware, and the application around it.
        aal: the level of NIST SP 800-63B that sets the lifetimes.
        accept: names of rules that may be broken, for documented reasons: their findings say `accepted`.

    Raises:
        InvalidArgumentError: there is no such level or rule.
    """
    if aal not in (1, 2, 3):
        raise InvalidArgumentError("aal= is 1, 2 or 3: a level of NIST SP 800-63B")
    unknown = sorted(set(accept) - set(RULE_NAMES))
    if unknown:
        raise InvalidArgumentError(f"there is no rule {quoted(unknown[0])}; there are {', '.join(RULE_NAMES)}")
    findings: list[Finding] = []
    for rule in RULES:
        judged = rule.judge(settings, aal)
        if judged is None:
            continue
        is_accepted = judged.verdict is Verdict.BROKEN and rule.name in accept
        verdict = Verdict.ACCEPTED if is_accepted else judged.verdict
        findings.append(Finding(rule.name, verdict, rule.requirements, judged.value, judged.advice))
    return findings
