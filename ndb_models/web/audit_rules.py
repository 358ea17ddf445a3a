"""The rules of the audit, and the requirements that each of them judges.

"ASVS 7.3.1" is a requirement of OWASP's Application Security Verification Standard 5.0, "NIST 5.1" a section of SP
800-63B-4, and "sheet:" a section of OWASP's Session Management Cheat Sheet.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ndb_models.web import audit_cookies, audit_lifetimes, audit_origins, audit_surroundings, audit_users
from ndb_models.web.audit_judging import Judge


class Rule(NamedTuple):
    """A rule: its name, the requirements that it judges, and the function."""

    name: str
    requirements: tuple[str, ...]
    judge: Judge


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
