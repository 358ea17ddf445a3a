"""Sessions for the page to show."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import SecretStr

from ndb_models import Expiry, Lookup, SessionModel

HOSTILE = "<script>document.title='canary'</script><img src=x onerror=\"document.title='canary'\">"


class Visitor(
    SessionModel,
    schema="DashboardVisitor",
    version=3,
    oldest=3,
    track=1,
    expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(days=7)),
):
    """A session with everything that the page treats in a way of its own."""

    user_id: Annotated[int, Lookup()]
    email: Annotated[str | None, Lookup()] = None
    nickname: str = HOSTILE
    riddle: SecretStr = SecretStr("the-type-says-so")
    api_key: str = "the-name-says-so"
    profile: dict[str, Any] = {}


class Ticket(SessionModel, schema="DashboardTicket", expiry=Expiry(absolute=timedelta(seconds=90))):
    """A session of another schema."""

    number: Annotated[str, Lookup(unique=True)]
