"""Checks of the arguments of `WebSessions`."""

from __future__ import annotations

from datetime import timedelta

from ndb_models.errors import InvalidArgumentError
from ndb_models.schema import Expiry


def checked_seconds(name: str, time: timedelta | float | None) -> float | None:
    """Return a time in seconds; None for None.

    Raises:
        InvalidArgumentError: it is no time, or not positive.
    """
    given: object = time.total_seconds() if isinstance(time, timedelta) else time
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
        raise InvalidArgumentError(f"{name}= is a timedelta or a number of seconds, and more than 0")
    return float(given)


def checked_short(short: Expiry | None) -> Expiry | None:
    """Return the expiry of short logins, or None.

    Raises:
        InvalidArgumentError: it is no `Expiry`.
    """
    given: object = short
    if not isinstance(given, (Expiry, type(None))):
        raise InvalidArgumentError("short= is an Expiry: WebSessions(..., short=Expiry(idle=1800))")
    return short
