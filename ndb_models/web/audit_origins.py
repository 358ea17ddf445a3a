"""Rules of the audit about requests from other sites. Each function is a rule."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from ndb_models.web.audit_judging import Judged, advised, broken, met
from ndb_models.web.audited import Aal, AuditedSettings, CorsSettings
from ndb_models.web.hosts import is_loopback

_ANY: Final = ("https://attacker.example", "http://attacker.example")


def csrf(given: AuditedSettings, _: Aal) -> Judged:
    """Judge the check of where requests come from."""
    if given.csrf != "off":
        return met("the origin of unsafe requests and of WebSocket handshakes is checked")
    return broken("requests of other sites are not refused", "leave csrf= as it is by default")


def csrf_token(given: AuditedSettings, _: Aal) -> Judged | None:
    """Judge requests that do not say where they come from."""
    if given.csrf == "off":
        return None
    if given.csrf == "token":
        return met("requests that show no origin need a token, which is bound to the session")
    return advised(
        "requests that show no origin pass, as of old browsers", "csrf='token' asks them for a token of their session"
    )


def trusted_origins(given: AuditedSettings, _: Aal) -> Judged:
    """Judge the origins that are trusted."""
    if not given.trusted_origins:
        return met("no other origin is trusted")
    bad = [origin for origin in given.trusted_origins if not _is_trustworthy(origin)]
    if bad:
        return broken(
            f"trusted origins: {', '.join(map(_shown_origin, bad))}",
            "name each origin in full, with https:// and without *",
        )
    return met(f"trusted origins: {', '.join(map(_shown_origin, given.trusted_origins))}")


def cors(given: AuditedSettings, _: Aal) -> Judged | None:
    """Judge the origins that may read answers."""
    open_to = [name for each in given.cors if each.with_cookies for name in _dangerous(each)]
    if open_to:
        return broken(
            f"CORS lets {' and '.join(open_to)} read answers to requests with cookies",
            "name the origins in allow_origins=, with https://; or leave out allow_credentials=",
        )
    return met("CORS with cookies only for named origins") if given.cors else None


def _is_trustworthy(origin: str) -> bool:
    return origin.startswith("https://") and "*" not in origin


def _shown_origin(origin: str) -> str:
    return origin.rpartition("@")[2]


def _dangerous(cors: CorsSettings) -> list[str]:
    """Return in words which origins should not be let in."""
    if "*" in cors.origins:
        return ["any origin"]
    found = ["the origin null"] if "null" in cors.origins else []
    if cors.pattern is not None and _matches_any(cors.pattern):
        found.append("any origin, by its pattern,")
    return found + [_shown_origin(each) for each in cors.origins if _is_plain(each)]


def _matches_any(pattern: str) -> bool:
    try:
        return any(re.fullmatch(pattern, origin) for origin in _ANY)
    except re.error:
        return False


def _is_plain(origin: str) -> bool:
    parts = urlsplit(origin)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
