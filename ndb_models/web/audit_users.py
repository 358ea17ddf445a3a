"""Rules of the audit about the sessions of one user. Each function is a rule."""

from __future__ import annotations

from ndb_models.web.audit_judging import Judged, advised, broken, met
from ndb_models.web.audited import Aal, AuditedSettings


def all_sessions(given: AuditedSettings, _: Aal) -> Judged:
    """Judge whether all sessions of a user can be ended."""
    if given.user_lookup is not None:
        return met(f"sessions of a user are found by {given.user_lookup}")
    return broken(
        "no field finds the sessions of a user: no logging out everywhere, no ending from elsewhere",
        "mark the user: user_id: Annotated[int, Principal(), Lookup()]",
    )


def devices(given: AuditedSettings, _: Aal) -> Judged:
    """Judge whether users can see their sessions."""
    if given.is_tracked:
        return met("sessions have public ids, and times of creation and last use")
    return broken(
        "sessions are not tracked: no list of devices, no step-up", "declare track=timedelta(minutes=1) on the class"
    )


def concurrent(given: AuditedSettings, _: Aal) -> Judged:
    """Judge how many sessions a user may have."""
    if given.user_limit is not None:
        return met(f"at most {given.user_limit} sessions a user; one more ends the oldest")
    return advised("any number of sessions a user", "document that, or limit it: Lookup(limit=5)")
