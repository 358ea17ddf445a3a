"""Rules of the audit about the store and the application around. Each function is a rule."""

from __future__ import annotations

from typing import Final

from ndb_models.web.audit_judging import Judged, advised, broken, met
from ndb_models.web.audited import Aal, AuditedSettings

FEWEST_BITS: Final = 128


def adopted(given: AuditedSettings, _: Aal) -> Judged | None:
    """Judge cookies of other middleware that are adopted."""
    bits = given.adopted_bits
    if bits is None:
        return None
    if bits < FEWEST_BITS:
        return broken(
            f"adopted cookies are signed by a secret of at most {bits} bits",
            "do not adopt them: anyone may find the secret and forge a session",
        )
    return advised(
        "cookies of other middleware are adopted", "leave out adopt= as soon as the old cookies have run out"
    )


def store_link(given: AuditedSettings, _: Aal) -> Judged | None:
    """Judge the way to the store."""
    store = given.store
    if store is None:
        return advised("the store is not known", "make the client of its URI: NdbClient('wss://...')")
    if not store.hosts:
        return None
    if store.is_private:
        return met(f"the store at {store.shown} is reached by TLS, or on this machine")
    return broken(
        f"sessions travel to {store.shown} unencrypted",
        "use wss:// or rediss://, or a tunnel from this machine",
    )


def shared_store(given: AuditedSettings, _: Aal) -> Judged | None:
    """Judge the store itself."""
    if given.store is None or given.store.scheme != "memory":
        return None
    if given.workers is not None and given.workers > 1:
        return broken(
            f"{given.workers} workers, each with sessions of its own: logging out reaches one of them",
            "use sqlite:///sessions.db, or a server",
        )
    return advised("sessions are in memory: they end with the process", "sqlite:///sessions.db keeps them")


def debug(given: AuditedSettings, _: Aal) -> Judged:
    """Judge the debug mode."""
    if given.is_debug:
        return broken("debug=True", "leave out debug= in production: error pages show code and values")
    return met("debug mode is off")


def other_sessions(given: AuditedSettings, _: Aal) -> Judged | None:
    """Judge the sessions that other middleware keeps in signed cookies, or under the same cookie."""
    if not given.signed_cookies:
        return None
    return advised(
        "Starlette's SessionMiddleware keeps other sessions in a signed cookie, which logging out cannot end",
        "move them: WebSessions(request_session=True, adopt=StarletteCookie(secret)), and remove the other middleware",
    )
