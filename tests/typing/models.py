"""The models of these programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel

from ndb_models import Expiry, Lookup, Merge, SessionModel

T = TypeVar("T")


class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
    username: str
    roles: list[str] = []


class OneTimePassword(SessionModel, schema="otp"):
    code: int


class Visitor(SessionModel, track=60, merge=Merge.later):
    """Is tracked and looked up, and its fields are merged by marks."""

    user_id: Annotated[int, Lookup(limit=5)]
    visits: Annotated[int, Merge.add] = 0
    votes: dict[str, Annotated[int, Merge.add]] = {}
    seat: Annotated[str | None, Merge.conflict] = None


class Page(SessionModel, Generic[T]):
    items: list[T]


class NameView(BaseModel):
    """A part of a `UserSession`."""

    username: str


class NoModel:
    """Has the field, and is no model."""

    username: str = ""
