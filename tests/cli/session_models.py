"""The models whose sessions the commands are tried on. Commands import them as `tests.cli.session_models:Shopper`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import SecretStr

from ndb_models import Expiry, Lookup, SessionModel

MODEL = f"{__name__}:Shopper"


class Shopper(
    SessionModel, schema="cli-shopper", expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(days=7)), track=60
):
    user_id: Annotated[int, Lookup()]
    device: Annotated[str, Lookup(unique=True)]
    email: str = "billy@example.org"
    theme: str = "dark"
    cart: dict[str, int] = {}
    code: SecretStr = SecretStr("")


class OneTime(SessionModel, schema="cli-one-time", expiry=Expiry(absolute=300)):
    code: str
