"""How long a session may live, by its reserved key, by its server and by its class. Decided here without I/O.

A class that allows less than before binds existing sessions too: a read brings a session under the new limits. If a
class allows more than before, reads leave existing sessions as they are. A session keeps an expiry of its own,
regardless of its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from ndb_models.schema.envelope import Envelope
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.tracking import Tracking
from ndb_models.types import NEVER, ExpirySettings, SessionToken

SKEW: Final = 1000
"""The milliseconds by which the clocks of two processes may differ before a deadline counts as too late."""


class Lifetime(NamedTuple):
    """How a session expires: its expiry, whether that is its own, and its deadline (ms since 1970; None for none).

    `tracking` are the records of a new session of a class that tracks its sessions.
    """

    expiry: Expiry | None
    own: bool = False
    deadline: int | None = None
    tracking: Tracking | None = None


class Timer(ExpirySettings):
    """How a server lets a session expire, compared with what an expiry allows."""

    __slots__ = ()

    @classmethod
    def told(cls, info: Mapping[str, Any]) -> Timer:
        """Return the timer that a server's answer to `SH_INFO` describes."""
        match info.get("expiry"):
            case {"duration": int(seconds), "deleteSession": bool(deletes), **flags}:
                on_write, on_read = flags.get("extendOnSetAdd") is True, flags.get("extendOnGet") is True
                touch_every = flags.get("touchEvery")
                return cls(seconds, deletes, on_write, on_read, touch_every if type(touch_every) is int else 0)
            case _:
                return cls.of(None)

    @classmethod
    def of(cls, expiry: Expiry | None) -> Timer:
        """Return the timer of an expiry."""
        return cls(*(NEVER if expiry is None else expiry.settings))

    def within(self, limit: Timer) -> bool:
        """Tell whether a session with this timer never outlives one with the limit, used in the same way."""
        return (
            0 < self.duration <= limit.duration
            and self.delete_session
            and self.extend_on_set_add <= limit.extend_on_set_add
            and self.extend_on_get <= limit.extend_on_get
            and self.touch_every >= limit.touch_every
        )

    def brought_under(self, expiry: Expiry) -> Timer:
        """Return a timer that lets a session live no longer than the expiry allows, and no longer than this timer."""
        limit = Timer.of(expiry)
        any_use = limit._replace(extend_on_set_add=True, extend_on_get=True)
        if self.within(limit if expiry.idle is not None else any_use):
            return self  # the deadline limits all extensions
        return limit._replace(duration=min(self.duration or limit.duration, limit.duration))

    @property
    def on(self) -> str | None:
        """The use that restarts the timer, in the words of the reserved key: None for both."""
        if self.extend_on_set_add and self.extend_on_get:
            return None
        return "write" if self.extend_on_set_add else "read" if self.extend_on_get else "never"


def exceeds(envelope: Envelope, expiry: Expiry | None, now: float) -> bool:
    """Tell whether a session may live longer than its class, or its own expiry, allows.

    Args:
        envelope: the contents of its reserved key.
        expiry: the expiry of its class.
        now: in milliseconds since 1970.
    """
    absolute, deadline = envelope.absolute, envelope.deadline
    if expiry is not None and not envelope.own:
        limit = expiry.absolute_seconds
        if limit is not None:
            if deadline is None:
                return True
            absolute = limit if absolute is None else min(limit, absolute)
        idle = expiry.idle_seconds
        if idle is not None:
            recorded = envelope.idle
            # The server's timer runs for the shorter of idle and absolute.
            if recorded is None or recorded > idle or not _counts_no_more(envelope.on, expiry.on):
                return True
            if (envelope.touch_every or 0) < (expiry.touch_every_seconds or 0):
                return True
    return deadline is not None and absolute is not None and deadline > now + absolute * 1000 + SKEW


def _counts_no_more(on: str | None, allowed: Literal["read", "write", "both"]) -> bool:
    return allowed == "both" or on in (allowed, "never")


def brought_under(envelope: Envelope, timer: Timer, expiry: Expiry | None, now: float) -> tuple[Envelope, Timer]:
    """Return the envelope and the timer that bring a session that `exceeds` back within its limits.

    Args:
        envelope: the contents of its reserved key.
        timer: the timer that its server has.
        expiry: the expiry of its class.
        now: in milliseconds since 1970.
    """
    absolute, deadline = envelope.absolute, envelope.deadline
    idle, on, touch_every = envelope.idle, envelope.on, envelope.touch_every
    if expiry is not None and not envelope.own:
        timer = timer.brought_under(expiry)
        if timer.extend_on_set_add or timer.extend_on_get or expiry.idle is not None:
            idle, on, touch_every = timer.duration, timer.on, timer.touch_every or None
        limit = expiry.absolute_seconds
        if limit is not None:
            absolute = limit if absolute is None else min(limit, absolute)
            deadline = deadline if deadline is not None else int(now + absolute * 1000)
    if deadline is not None and absolute is not None:
        deadline = min(deadline, int(now + absolute * 1000))
    new = msgspec.structs.replace(
        envelope, idle=idle, on=on, touch_every=touch_every, absolute=absolute, deadline=deadline
    )
    return new, timer


def created_with(expiry: Expiry | None, now: float, *, own: bool = False) -> Lifetime:
    """Return the lifetime of a session that begins now, in milliseconds since 1970."""
    absolute = expiry.absolute_seconds if expiry is not None else None
    return Lifetime(expiry, own, None if absolute is None else int(now + absolute * 1000))


def carried_over(envelope: Envelope | None, timer: Timer | None, expiry: Expiry | None, now: float) -> Lifetime:
    """Return the lifetime that a session takes along to a new token or version: that of its class, or its own.

    Args:
        envelope: the contents of its reserved key; None if it has no such key.
        timer: the timer that its server has; None if `is_told` says that the reserved key tells enough.
        expiry: the expiry of its class.
        now: in milliseconds since 1970.
    """
    if envelope is None or timer is not None or envelope.own:
        kept = expiry_of(envelope, timer)
        # An expiry that the reserved key does not explain counts as its own.
        own = kept is not None or (envelope is not None and envelope.own)
        return Lifetime(kept, own, envelope.deadline if envelope is not None else None)
    limit = expiry.absolute_seconds if expiry is not None else None
    if limit is None:
        return Lifetime(expiry)
    if envelope.deadline is None:
        return created_with(expiry, now)
    # The time that it has lived counts, as far as it is known.
    later = max(0, limit - envelope.absolute) if envelope.absolute is not None else 0
    return Lifetime(expiry, deadline=int(min(envelope.deadline + later * 1000, now + limit * 1000)))


def is_told(envelope: Envelope | None, expiry: Expiry | None) -> bool:
    """Tell whether the reserved key and the class fully tell how a session expires."""
    if envelope is None:
        return False
    return envelope.own or expiry is not None or envelope.idle is not None or envelope.absolute is not None


def expiry_of(envelope: Envelope | None, timer: Timer | None) -> Expiry | None:
    """Return the expiry of a session by its server's timer; without a timer, by its reserved key; None without both."""
    touch_every: int | None
    if timer is not None:
        extends = timer.duration > 0 and (timer.extend_on_set_add or timer.extend_on_get)
        idle = timer.duration if extends else None
        absolute = timer.duration if timer.duration and not extends else None
        on = timer.on if extends else None
        touch_every = timer.touch_every or None
    elif envelope is not None:
        idle, absolute, on, touch_every = envelope.idle, envelope.absolute, envelope.on, envelope.touch_every
    else:
        return None
    if idle is None and absolute is None:
        return None
    return Expiry(
        idle=idle,
        absolute=absolute,
        on="read" if on == "read" else "write" if on == "write" else "both",
        touch_every=min(touch_every or 0, (idle or 0) // 2) or None,  # another client may have set any time
    )


def extends_on_read(envelope: Envelope | None, expiry: Expiry | None) -> bool:
    """Tell whether reading a session may extend it. Without a reserved key, it may."""
    if envelope is None:
        return True
    if envelope.idle is not None:
        return envelope.on in (None, "read")
    return not envelope.own and expiry is not None and expiry.extends_on_read


def envelope_of(
    schema: str, version: int, tkn: SessionToken | None, lifetime: Lifetime, by: str | None = None
) -> Envelope:
    """Return the contents of a session's reserved key."""
    expiry = lifetime.expiry
    envelope = Envelope(schema, version, by, own=lifetime.own, tkn=tkn, deadline=lifetime.deadline)
    if lifetime.tracking is not None:
        envelope = msgspec.structs.replace(envelope, **lifetime.tracking._asdict())
    if expiry is None:
        return envelope
    return msgspec.structs.replace(
        envelope,
        idle=expiry.idle_seconds,
        on=expiry.on if expiry.idle is not None and expiry.on != "both" else None,
        absolute=expiry.absolute_seconds,
        touch_every=expiry.touch_every_seconds,
    )


def with_lifetime(envelope: Envelope, lifetime: Lifetime) -> Envelope:
    """Return the contents of a reserved key with another lifetime."""
    told = envelope_of(envelope.schema, envelope.version, envelope.tkn, lifetime)
    return msgspec.structs.replace(
        envelope,
        idle=told.idle,
        on=told.on,
        absolute=told.absolute,
        touch_every=told.touch_every,
        own=told.own,
        deadline=told.deadline,
    )
