"""The models of these programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, TypeVar

from ndb_models import Expiry, SessionModel

T = TypeVar("T")


class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
    username: str
    roles: list[str] = []


class OneTimePassword(SessionModel, schema="otp"):
    code: int


class Page(SessionModel, Generic[T]):
    items: list[T]
