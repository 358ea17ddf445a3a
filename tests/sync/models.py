"""The models that these tests store."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from ndb_models import Expiry, Lookup, Merge, SessionModel


class User(SessionModel, expiry=Expiry(idle=60), schema="sync-user"):
    username: str
    roles: list[str] = []
    visits: Annotated[int, Merge.add] = 0


class Login(SessionModel, expiry=Expiry(idle=60), track=60, schema="sync-login"):
    user_id: Annotated[int, Lookup()]
    device: str = ""


class AppConfig(BaseModel):
    title: str = ""
    debug: bool = False
