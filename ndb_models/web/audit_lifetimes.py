"""Rules of the audit about lifetimes and renewal. Each function is a rule."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from ndb_models.schema.expiry import Expiry
from ndb_models.web.audit_judging import DAY, Judged, advised, broken, met, shown_time, written_time
from ndb_models.web.audited import Aal, AuditedSettings

LONGEST_GRACE: Final = timedelta(minutes=1)
LONGEST_ABSOLUTE: Final[dict[Aal, int]] = {1: 30 * DAY, 2: DAY, 3: DAY // 2}
"""NIST SP 800-63B-4: the longest absolute lifetime by level, in seconds."""

LONGEST_IDLE: Final[dict[Aal, int | None]] = {1: None, 2: 60 * 60, 3: 15 * 60}
"""NIST SP 800-63B-4: the longest idle lifetime by level, in seconds. Level 1 has no limit."""


def absolute(given: AuditedSettings, aal: Aal) -> Judged:
    """Judge the absolute lifetime."""
    seconds = given.expiry.absolute_seconds if given.expiry is not None else None
    longest = LONGEST_ABSOLUTE[aal]
    if seconds is None:
        return broken("no absolute end", f"declare expiry=Expiry(absolute={written_time(longest)}) or shorter")
    value = f"absolute end after {shown_time(seconds)}"
    if seconds <= longest:
        return met(value)
    return broken(value, f"at most {shown_time(longest)} at level {aal}; a longer time needs a documented reason")


def idle(given: AuditedSettings, aal: Aal) -> Judged:
    """Judge the idle lifetime."""
    longest = LONGEST_IDLE[aal]
    seconds = given.expiry.idle_seconds if given.expiry is not None else None
    if seconds is None:
        fitting = written_time(longest or 1800)
        if given.short is not None and given.short.idle_seconds is not None and aal == 1:
            return advised(
                f"idle end after {shown_time(given.short.idle_seconds)}, but none for remembered logins",
                f"declare expiry=Expiry(idle={written_time(7 * DAY)}) or so, or document why there is none",
            )
        return broken("no idle end", f"declare expiry=Expiry(idle={fitting}), or another time, and document it")
    value = f"idle end after {shown_time(seconds)}"
    if longest is None or seconds <= longest:
        return met(value)
    return broken(value, f"at most {shown_time(longest)} at level {aal}; a longer time needs a documented reason")


def browser_end(given: AuditedSettings, _: Aal) -> Judged:
    """Judge how long browsers keep the cookie."""
    if given.short is not None:
        return met(f"the cookie ends with the browser, unless remember=True; then after {_ends(given.expiry)} at most")
    return advised(
        "each cookie outlives the browser",
        "give WebSessions short=Expiry(...): only a login with remember=True then stays on the disk",
    )


def renewal(given: AuditedSettings, _: Aal) -> Judged:
    """Judge whether a change of rights renews the cookie."""
    if given.principals:
        return met(f"renewed at login, and when {' or '.join(given.principals)} changes")
    return broken(
        "no field is marked Principal()",
        "mark the user and the rights: user_id: Annotated[int, Principal(), Lookup()]",
    )


def renewal_by_time(given: AuditedSettings, _: Aal) -> Judged | None:
    """Judge whether time renews the cookie."""
    longest = given.expiry.absolute_seconds if given.expiry is not None else None
    if given.renew_every is not None:
        return met(f"a new secret after {shown_time(int(given.renew_every.total_seconds()))}")
    if longest is not None and longest <= DAY:
        return None
    return advised(
        "one secret for the whole session", "give WebSessions renew_every=timedelta(hours=1) for long sessions"
    )


def grace(given: AuditedSettings, _: Aal) -> Judged:
    """Judge how long a replaced cookie still works."""
    value = f"a replaced secret opens the session for {shown_time(int(given.grace.total_seconds()))} more"
    if given.grace <= LONGEST_GRACE:
        return met(value)
    return broken(
        value, f"grace= is at most {shown_time(int(LONGEST_GRACE.total_seconds()))}: parallel requests need less"
    )


def _ends(expiry: Expiry | None) -> str:
    return shown_time(expiry.absolute_seconds or expiry.duration) if expiry is not None else "400 days"
