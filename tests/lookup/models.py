"""The models that are looked up in these tests."""

from __future__ import annotations

from typing import Annotated

from ndb_models import Expiry, Lookup, SessionModel


class Login(SessionModel, expiry=Expiry(idle=3600)):
    user_id: Annotated[int | None, Lookup()] = None
    email: Annotated[str | None, Lookup(unique=True)] = None
    note: str = ""


class Visit(SessionModel, schema="lookup-visit"):
    """Has no unique field, so that its creations are not contested."""

    user_id: Annotated[int, Lookup()]
    device: Annotated[str, Lookup()] = "phone"
    note: str = ""


class Plain(SessionModel, schema="lookup-plain"):
    """Is not looked up at all."""

    user_id: int
