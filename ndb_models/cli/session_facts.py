"""A stored session as people and programs see it: its facts, without its fields."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ndb_models.cli.masking import shown_token
from ndb_models.schema.envelope import Envelope, read_envelope
from ndb_models.sessions.whole_sessions import Timing, read_timing
from ndb_models.types import NAMESPACE_END, JsonValue, SessionToken

if TYPE_CHECKING:
    from ndb_models.client import NdbClient

COLUMNS: Final = ("token", "schema", "version", "created", "used", "expires in", "public id")
NOTHING: Final = "-"

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """The facts of a stored session.

    Attributes:
        tkn: its token.
        envelope: its reserved key; None if it was not written by a repository.
        timing: how it expires by the server's timer.
        now: the time of the look, in milliseconds since 1970.
    """

    tkn: SessionToken
    envelope: Envelope | None
    timing: Timing
    now: int

    @property
    def schema(self) -> str | None:
        """The name of its schema, without the namespace."""
        return None if self.envelope is None else self.envelope.schema.rpartition(NAMESPACE_END)[2]

    @property
    def namespace(self) -> str | None:
        """Its namespace, if it has one."""
        return None if self.envelope is None else self.envelope.schema.rpartition(NAMESPACE_END)[0] or None

    @property
    def remaining(self) -> float | None:
        """The seconds that it has left if it is not used; None if it never ends."""
        by_timer = self.timing.remaining
        deadline = None if self.envelope is None else self.envelope.deadline
        if deadline is None:
            return by_timer
        by_deadline = (deadline - self.now) / 1000
        return by_deadline if by_timer is None else min(by_timer, by_deadline)

    @property
    def expires(self) -> str | None:
        """When it ends if it is not used, as ISO 8601 in UTC; None if it never ends, or past the year 9999."""
        return None if self.remaining is None else moment(self.now + self.remaining * 1000)

    @property
    def is_whole(self) -> bool:
        """False while it is being created, and if its creation was cut short."""
        return self.envelope is None or self.envelope.tkn == self.tkn

    def as_json(self, *, show_tokens: bool) -> dict[str, JsonValue]:
        """Return the facts as a JSON object. Times are in ISO 8601, in UTC; durations in seconds."""
        envelope = self.envelope
        return {
            "tkn": shown_token(self.tkn, full=show_tokens),
            "schema": self.schema,
            "namespace": self.namespace,
            "version": None if envelope is None else envelope.version,
            "created": None if envelope is None else moment(envelope.created),
            "used": None if envelope is None else moment(envelope.used),
            "remaining": None if self.remaining is None else round(self.remaining),
            "public_id": None if envelope is None else envelope.public_id,
            "keys": self.timing.key_count,
            "whole": self.is_whole,
        }

    def as_row(self, *, show_tokens: bool) -> tuple[str, ...]:
        """Return the facts as a row of a table, for `COLUMNS`."""
        envelope = self.envelope
        named = "/".join(filter(None, (self.namespace, self.schema)))
        return (
            shown_token(self.tkn, full=show_tokens),
            (named or NOTHING) + ("" if self.is_whole else " (unfinished)"),
            NOTHING if envelope is None else str(envelope.version),
            NOTHING if envelope is None else self._ago(envelope.created),
            NOTHING if envelope is None else self._ago(envelope.used),
            "never" if self.remaining is None else duration(self.remaining),
            (None if envelope is None else envelope.public_id) or NOTHING,
        )

    def _ago(self, at: int | None) -> str:
        return NOTHING if at is None else f"{duration((self.now - at) / 1000)} ago"


async def facts_of(client: NdbClient, tkn: SessionToken, reserved: JsonValue) -> SessionFacts | None:
    """Return the facts of a session, given its parsed reserved key; None if it has ended. Extends no expiry."""
    timing = await read_timing(client, tkn)
    if timing is None:
        return None
    envelope = None if reserved is None else read_envelope(json.dumps(reserved).encode())
    return SessionFacts(tkn, envelope, timing, int(time.time() * 1000))


def duration(seconds: float) -> str:
    """Return a duration for people, in its two largest units: `3 d 4 h`."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def moment(milliseconds: float | None) -> str | None:
    """Return a time in milliseconds since 1970 as ISO 8601 in UTC, to the second; None for None."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return None
