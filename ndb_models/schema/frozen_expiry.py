"""How the sessions of a model expire, in the file of its frozen schema, and what a change of it means for them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ndb_models.schema.comparing import Difference
from ndb_models.schema.expiry import Expiry

_PLACE = "(expiry)"
_BROUGHT_UNDER = "sessions that exist are brought under it when they are read"
_KEPT = "sessions that exist keep theirs until they are rotated or upgraded, or given another by expire()"


class FrozenExpiry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An expiry: times in seconds, None for never; `on` is what starts the idle time anew."""

    idle: int | None = None
    absolute: int | None = None
    on: str | None = None


def frozen_expiry(expiry: Expiry | None) -> FrozenExpiry:
    """Return what the file of a class with this expiry holds."""
    if expiry is None:
        return FrozenExpiry()
    on = expiry.on if expiry.idle is not None else None
    return FrozenExpiry(expiry.idle_seconds, expiry.absolute_seconds, on)


def compare_expiry(old: FrozenExpiry | None, new: FrozenExpiry | None) -> list[Difference]:
    """Return what is different for sessions that were stored with the old one. None of it breaks them."""
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


def _shown(seconds: int | None) -> str:
    return "not set" if seconds is None else f"{seconds} s"
