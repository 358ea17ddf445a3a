"""The models that these tests store, with the expiry that each test is about."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ndb_models import Expiry, SessionModel


class Address(BaseModel):
    street: str = ""
    lines: list[str] = []


class User(SessionModel, expiry=Expiry(idle=60)):
    username: str
    roles: list[str] = []
    address: Address = Address()
    visits: int = Field(default=0, ge=0)


class ReadUser(User, expiry=Expiry(idle=60, on="read")):
    """Only reading keeps it alive."""


class WrittenUser(User, expiry=Expiry(idle=60, on="write")):
    """Only writing keeps it alive."""


class EternalUser(User, expiry=None):
    """Never ends by itself."""


class Otp(SessionModel):
    code: int


class Frozen(SessionModel, frozen=True):
    username: str
