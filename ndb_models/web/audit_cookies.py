"""Rules of the audit about the cookie. Each function is a rule."""

from __future__ import annotations

from typing import Final

from ndb_models.web.audit_judging import Judged, broken, met
from ndb_models.web.audited import Aal, AuditedSettings

_COOKIE_SIZE: Final = 4096
_CREDENTIAL_SIZE: Final = 54


def development(given: AuditedSettings, _: Aal) -> Judged | None:
    """Judge the development mode."""
    if not given.is_development:
        return met("development mode is off")
    return broken("development=True", "leave out development= in production: the cookie has no Secure and no __Host-")


def secure(given: AuditedSettings, _: Aal) -> Judged:
    """Judge the attribute `Secure`."""
    if given.is_secure:
        return met("Secure")
    return broken("a cookie without Secure", "serve by HTTPS, and leave the cookie Secure")


def host_prefix(given: AuditedSettings, _: Aal) -> Judged:
    """Judge the name of the cookie."""
    name = given.cookie_name
    if name.startswith("__Host-"):
        return met(f"the cookie is named {name}")
    return broken(f"the cookie is named {name}", "give the cookie a name that starts with __Host-")


def http_only(_given: AuditedSettings, _: Aal) -> Judged:
    """Judge the attribute `HttpOnly`, which is no setting."""
    return met("HttpOnly, always; the value is in no other header and in no body")


def same_site(given: AuditedSettings, _: Aal) -> Judged:
    """Judge the attribute `SameSite`."""
    value = f"SameSite={given.same_site.capitalize()}"
    if given.same_site in ("lax", "strict"):
        return met(value)
    return broken(value, "use 'lax' or 'strict', unless other sites embed the application in frames")


def cookie_size(given: AuditedSettings, _: Aal) -> Judged:
    """Judge the length of the cookie."""
    size = len(given.cookie_name) + _CREDENTIAL_SIZE
    if size <= _COOKIE_SIZE:
        return met(f"name and value have {size} bytes")
    return broken(f"name and value have {size} bytes", "give the cookie a shorter name: 4096 bytes at most, in all")


def cookie_scope(given: AuditedSettings, _: Aal) -> Judged:
    """Judge other uses of the cookie's name."""
    if not given.same_cookie:
        return met("one use of the cookie's name")
    places = ", ".join(given.same_cookie)
    return broken(
        f"{given.cookie_name} holds other sessions at {places}",
        "give each a cookie name of its own, or let them share one WebSessions",
    )
