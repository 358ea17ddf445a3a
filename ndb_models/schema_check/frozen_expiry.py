"""The expiry in the file of a frozen schema, and the effect of a changed expiry on existing sessions."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ndb_models.schema.expiry import Expiry
from ndb_models.schema_check.comparing import Difference

_PLACE = "(expiry)"
_BROUGHT_UNDER = "sessions that exist are brought under it when they are read"
_KEPT = "sessions that exist keep theirs until they are rotated or upgraded, or given another by expire()"


class FrozenExpiry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An expiry: times in seconds, None for never; `on` is the use that restarts the idle time.

    `touch_every` is None if each use does. Files of older releases lack it.
    """

    idle: int | None = None
    absolute: int | None = None
    on: str | None = None
    touch_every: int | None = None


def frozen_expiry(expiry: Expiry | None) -> FrozenExpiry:
    """Return the expiry of a class as its file holds it."""
    if expiry is None:
        return FrozenExpiry()
    on = expiry.on if expiry.idle is not None else None
    return FrozenExpiry(expiry.idle_seconds, expiry.absolute_seconds, on, expiry.touch_every_seconds)


def compare_expiry(old: FrozenExpiry | None, new: FrozenExpiry | None) -> list[Difference]:
    """Return the differences for sessions stored with the old expiry. They are never breaking."""
    if old is None or new is None:
        return []
    return [Difference(_PLACE, breaking=False, reason=reason) for reason in _reasons(old, new)]


def _reasons(old: FrozenExpiry, new: FrozenExpiry) -> Iterator[str]:
    for name, before, after in (("idle", old.idle, new.idle), ("absolute", old.absolute, new.absolute)):
        if before != after:
            tighter = after is not None and (before is None or after < before)
            yield f"{name} was {_shown(before)}, and is {_shown(after)} now: {_BROUGHT_UNDER if tighter else _KEPT}"
    if old.on is not None and new.on is not None and old.on != new.on:
        tighter = new.on != "both"
        yield f"on was {old.on}, and is {new.on} now: {_BROUGHT_UNDER if tighter else _KEPT}"
    if old.touch_every != new.touch_every:
        tighter = (old.touch_every or 0) < (new.touch_every or 0)
        was, is_now = _shown(old.touch_every), _shown(new.touch_every)
        yield f"touch_every was {was}, and is {is_now} now: {_BROUGHT_UNDER if tighter else _KEPT}"


def _shown(seconds: int | None) -> str:
    return "not set" if seconds is None else f"{seconds} s"
