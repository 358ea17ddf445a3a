"""The description of a session, for a page that lists a user's devices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """Facts about a session. It holds nothing that opens the session. Times are in UTC.

    Attributes:
        schema: the name of its schema.
        version: the version that it is stored in; None if another client wrote it.
        created: when it was created. `rotate` keeps it. None for a session that was not tracked then.
        used: when it was last read, at most `track` seconds too early. None for a session that was not tracked yet.
        authenticated: the last login: the last `rotate`, `issue` or `renew(login=True)`, or else the creation. None as
            for `created`.
        remaining: the seconds that it has left if it is not used; None if it never ends.
        expires: when it ends if it is not used; None if it never ends.
        deadline: when it ends at the latest; None without an absolute end.
        public_id: 22 URL-safe characters that name the session and open nothing. `rotate` keeps it. None for a session
            that was not tracked yet.
        is_current: True if it is the session that `describe` was told to be the current one.
    """

    schema: str
    version: int | None
    created: datetime | None
    used: datetime | None
    authenticated: datetime | None
    remaining: float | None
    expires: datetime | None
    deadline: datetime | None
    public_id: str | None
    is_current: bool
