"""The devices of a user: one for each session. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from ndb_models.errors import SchemaError
from ndb_models.repository import SessionDescription
from ndb_models.schema import SessionModel

M = TypeVar("M", bound=SessionModel)

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(Generic[M]):
    """One session of a user, for a page that lists them. Times are in UTC.

    Attributes:
        public_id: names the session without opening it: a form can send it to `revoke`.
        is_current: True for the session of the request.
        created: when it was created; None if that is not known.
        used: when it was used last, at most `track` seconds too early; None if that is not known.
        expires: when it ends if it is not used; None if it never ends.
        session: its model. Changes to it are not stored.
    """

    public_id: str | None
    is_current: bool
    created: datetime | None
    used: datetime | None
    expires: datetime | None
    session: M


def device_of(session: M, description: SessionDescription) -> Device[M]:
    """Return the device of a session."""
    return Device(
        public_id=description.public_id,
        is_current=description.is_current,
        created=description.created,
        used=description.used,
        expires=description.expires,
        session=session,
    )


def in_order(devices: Iterable[Device[M]]) -> list[Device[M]]:
    """Return devices as a page lists them: the current one first, then those that were used last."""
    by_use = sorted(devices, key=lambda device: device.used or _LONG_AGO, reverse=True)
    return sorted(by_use, key=lambda device: not device.is_current)


def check_tracked(model: type[SessionModel], verb: str) -> None:
    """Refuse a class without `track=`: its sessions have no public ids and no times.

    Raises:
        SchemaError: the class does not say `track=`.
    """
    if model.session_options.track is None:
        raise SchemaError(
            model.__name__, None, f"{verb} needs the records of each session: class {model.__name__}(..., track=60)"
        )
