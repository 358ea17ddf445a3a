"""The models of these programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, TypeVar

from pydantic import BaseModel

from ndb_models import Expiry, SessionModel

T = TypeVar("T")


class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
    username: str
    roles: list[str] = []


class OneTimePassword(SessionModel, schema="otp"):
    code: int


class Page(SessionModel, Generic[T]):
    items: list[T]


class NameView(BaseModel):
    """A part of a `UserSession`."""

    username: str


class NoModel:
    """Has the field, and is no model."""

    username: str = ""
