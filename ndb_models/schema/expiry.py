"""When a session ends by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Literal, Self

from ndb_models.errors import InvalidArgumentError
from ndb_models.types import ExpirySettings


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """When a session ends by itself. A time is a `timedelta` or a number of seconds: whole seconds, at least one.

    Args:
        idle: the session ends after this time without use.
        absolute: the session ends this long after its creation, used or not.
        on: the calls that count as use: `"read"`, `"write"` or `"both"`.
        touch_every: use restarts the idle time at most once in this time, and reads in between write nothing. A session
            then lives for at least `idle - touch_every` after its last use, and at most for `idle`. A NemesisDB
            restarts it at every use. None restarts it at every use everywhere.

    Raises:
        InvalidArgumentError: neither `idle` nor `absolute` is given; or a time is given without its name, or is not a
            whole number of seconds, at least 1 and below 2**53 (the protocol counts in seconds); or `on` has another
            value; or `touch_every` comes without `idle`, or is longer than half of it.
    """

    idle: timedelta | float | None = None
    absolute: timedelta | float | None = None
    on: Literal["read", "write", "both"] = "both"
    touch_every: timedelta | float | None = None

    def __new__(cls, *unnamed: object, **_named: object) -> Self:
        """Refuse positional arguments."""
        if unnamed:
            raise InvalidArgumentError("Expiry takes its times by name: Expiry(idle=1800) or Expiry(absolute=86400)")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if self.idle is None and self.absolute is None:
            raise InvalidArgumentError("Expiry needs idle= or absolute=, or both; a session without Expiry never ends")
        for name in ("idle", "absolute", "touch_every"):
            check_seconds(f"Expiry({name}=)", getattr(self, name))
        if self.on not in ("read", "write", "both"):
            raise InvalidArgumentError("Expiry(on=) is 'read', 'write' or 'both'")
        touch_every, idle = self.touch_every_seconds, self.idle_seconds
        if touch_every is not None and (idle is None or 2 * touch_every > idle):
            raise InvalidArgumentError(
                "Expiry(touch_every=) is at most half of idle=: a session in use must not end between two extensions"
            )

    @cached_property
    def duration(self) -> int:
        """The seconds until an unused session ends, as the server is told."""
        return min(seconds for seconds in (seconds_in(self.idle), seconds_in(self.absolute)) if seconds is not None)

    @cached_property
    def idle_seconds(self) -> int | None:
        """`idle` in seconds."""
        return seconds_in(self.idle)

    @cached_property
    def absolute_seconds(self) -> int | None:
        """`absolute` in seconds."""
        return seconds_in(self.absolute)

    @cached_property
    def touch_every_seconds(self) -> int | None:
        """`touch_every` in seconds."""
        return seconds_in(self.touch_every)

    @cached_property
    def settings(self) -> ExpirySettings:
        """The settings of a session with this expiry, as a server keeps them."""
        touch_every = self.touch_every_seconds or 0
        return ExpirySettings(self.duration, True, self.extends_on_write, self.extends_on_read, touch_every)

    @property
    def extends_on_read(self) -> bool:
        """True if a read restarts the idle time."""
        return self.idle is not None and self.on != "write"

    @property
    def extends_on_write(self) -> bool:
        """True if a write restarts the idle time."""
        return self.idle is not None and self.on != "read"


def seconds_in(time: timedelta | float | None) -> int | None:
    """Return a time in seconds; None for None."""
    if time is None:
        return None
    return int(time.total_seconds() if isinstance(time, timedelta) else time)


def check_seconds(name: str, time: object) -> None:
    """Refuse a time that is not a whole number of seconds, at least 1. None is taken.

    Raises:
        InvalidArgumentError: it is another value. `name` is how the message calls it.
    """
    if time is None:
        return
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise InvalidArgumentError(f"{name} is a timedelta or seconds, not a {type(time).__name__}")
    if not (1 <= seconds < 2**53 and float(seconds).is_integer()):
        raise InvalidArgumentError(f"{name} is a whole number of seconds, at least 1")
