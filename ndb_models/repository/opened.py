"""A session that a credential opens, with facts that a web application decides by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from ndb_models.credentials import Credential
from ndb_models.schema.model import SessionModel

M = TypeVar("M", bound=SessionModel)


class OpenedSession(msgspec.Struct, Generic[M], frozen=True):
    """A session that a credential opens.

    Attributes:
        session: its model.
        is_current: True if the credential has the current secret; False if it has the one before.
        is_seen: False if `renew_once` made the current secret, and `note_seen` was not called for it yet.
        follower: the credential that `renew_once` has replaced this one by, if it was not seen yet.
        issued: when the current secret was made, in milliseconds since 1970; 0 if an older release made it.
        idle: the idle expiry of the session in seconds; None for none.
        absolute: the absolute expiry of the session in seconds; None for none.
        has_own_expiry: True if a call set its expiry, at creation or later; False if the class did.
        use: lets the opening count as a read, if that was left to the caller; None if it has counted. The argument says
            whether the session was written since, and so extended. Sends a request at most, which is not waited for.
    """

    session: M
    is_current: bool
    is_seen: bool
    follower: Credential | None
    issued: int
    idle: int | None
    absolute: int | None
    has_own_expiry: bool
    use: Callable[[bool], None] | None = None
