"""Records of a tracked session in its reserved key: its creation, login and last use, and a public id.

All of it is decided here without I/O. Times are in milliseconds since 1970.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

import msgspec

from ndb_models.schema.envelope import Envelope

# The milliseconds by which the clocks of two processes may differ before a last use counts as not yet come.
_SKEW: Final = 1000
_PUBLIC_ID_BYTES: Final = 16


class Tracking(NamedTuple):
    """The records of a session. None stands for a time that is not known."""

    created: int | None
    used: int
    authenticated: int | None
    public_id: str


def draw_public_id() -> str:
    """Return a new public id: 128 random bits as 22 URL-safe characters.

    It is not derived from the token. A token has 64 bits, so that a hash of it could be searched for the token.
    """
    return secrets.token_urlsafe(_PUBLIC_ID_BYTES)


def tracking_of_new(now: float) -> Tracking:
    """Return the records of a session that is created now."""
    return Tracking(int(now), int(now), None, draw_public_id())


def tracking_carried_over(envelope: Envelope | None, now: float, *, logs_in: bool) -> Tracking:
    """Return the records that a session takes along to a new token. `logs_in`: this counts as a login."""
    if envelope is None:
        return Tracking(None, int(now), int(now) if logs_in else None, draw_public_id())
    authenticated = int(now) if logs_in else envelope.authenticated
    return Tracking(envelope.created, int(now), authenticated, envelope.public_id or draw_public_id())


def is_use_due(envelope: Envelope, every: int, now: float) -> bool:
    """Return True if a use is to be recorded: the last recorded one is at least `every` milliseconds ago."""
    used = envelope.used
    return used is None or now - used >= every or used > now + _SKEW  # the last: a clock was ahead


def with_use(envelope: Envelope, now: float) -> Envelope:
    """Return the reserved key of a session that is used now. A session from before tracking gets a public id."""
    return msgspec.structs.replace(envelope, used=int(now), public_id=envelope.public_id or draw_public_id())


def with_login(envelope: Envelope, now: float) -> Envelope:
    """Return the reserved key of a tracked session whose user logs in now. Another session's stays as it is."""
    return envelope if envelope.public_id is None else msgspec.structs.replace(envelope, authenticated=int(now))


def login_time(envelope: Envelope) -> int | None:
    """Return the time of the last `rotate`, `issue` or `renew(login=True)`, or else of the creation."""
    return envelope.created if envelope.authenticated is None else envelope.authenticated
