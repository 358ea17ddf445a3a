"""What the tests of expiry share: one schema as it is declared at different times, and looks at what is stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel

from ndb_models import Expiry, Lookup, NdbClient, SessionModel
from ndb_models.schema.envelope import RESERVED_KEY


class Login(SessionModel, schema="login"):
    """As it was first declared: a session never ends."""

    user: Annotated[str, Lookup()] = "billy"
    note: str = ""


class NoteView(BaseModel):
    note: str


def declared(expiry: Expiry | None, *, version: int = 1) -> type[Login]:
    """Return the class as a later release declares it."""

    class Later(Login, schema="login", expiry=expiry, version=version):
        pass

    for number in range(1, version):
        Later.upgrade(number)(lambda keys: keys)
    return Later


READS: dict[str, Callable[..., Awaitable[object]]] = {
    "get": lambda repo, tkn, **extend: repo.get(tkn, **extend),
    "get_or_none": lambda repo, tkn, **extend: repo.get_or_none(tkn, **extend),
    "get_many": lambda repo, tkn, **extend: first(repo.get_many([tkn], **extend)),
    "find": lambda repo, _tkn, **extend: first(repo.find(user="billy", **extend)),
    "exists": lambda repo, tkn, **extend: repo.exists(tkn, **extend),
    "project": lambda repo, tkn, **extend: repo.project(tkn, NoteView, **extend),
}


async def first(many: Awaitable[list[Any]]) -> Any:
    """Return the first of many, which must not be an error."""
    (one,) = await many
    if isinstance(one, Exception):
        raise one
    return one


async def timer(client: NdbClient, tkn: int) -> Mapping[str, Any] | None:
    """Return what the server says of when a session expires."""
    expiry = (await client.sh_info(tkn)).get("expiry")
    assert expiry is None or isinstance(expiry, dict)
    return expiry


async def reserved(client: NdbClient, tkn: int) -> dict[str, Any]:
    """Return what the reserved key of a session says."""
    (text,) = (await client.sh_peek([RESERVED_KEY], tkn)).values()
    assert isinstance(text, dict)
    return text
