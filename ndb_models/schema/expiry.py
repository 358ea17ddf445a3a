"""When a session ends by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ndb_models.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """When a session ends by itself.

    Args:
        idle: ends when it was not used for so long: a `timedelta` or seconds, whole seconds of at least one (the
            protocol counts in seconds).
        on: what counts as use: `"read"`, `"write"` or `"both"`.

    Raises:
        InvalidArgumentError: `idle` is not a whole number of seconds of at least one, or `on` is none of these.
    """

    idle: timedelta | float
    on: Literal["read", "write", "both"] = "both"

    def __post_init__(self) -> None:
        seconds = self.idle.total_seconds() if isinstance(self.idle, timedelta) else self.idle
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise InvalidArgumentError(f"Expiry(idle=) is a timedelta or seconds, not a {type(self.idle).__name__}")
        if not (1 <= seconds < 2**53 and float(seconds).is_integer()):
            raise InvalidArgumentError("Expiry(idle=) is a whole number of seconds, at least 1")
        if self.on not in ("read", "write", "both"):
            raise InvalidArgumentError("Expiry(on=) is 'read', 'write' or 'both'")

    @property
    def seconds(self) -> int:
        """`idle` in seconds."""
        return int(self.idle.total_seconds() if isinstance(self.idle, timedelta) else self.idle)

    @property
    def extends_on_read(self) -> bool:
        """Whether reading starts the time anew."""
        return self.on != "write"

    @property
    def extends_on_write(self) -> bool:
        """Whether writing starts the time anew."""
        return self.on != "read"
