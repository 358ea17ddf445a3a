"""The models of these programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Final, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, Strict

from ndb_models import Expiry, Lookup, Merge, SessionModel
from tests.typing.programs import marks

T = TypeVar("T")


class Address(BaseModel):
    city: str = ""


class Login(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
    user_id: Annotated[int, Lookup()]
    email: Annotated[str | None, Lookup(unique=True)] = None
    username: str = ""
    age: int = 0
    weight: float = 0.0
    roles: list[str] = []
    address: Address = Address()
    theme: Literal["light", "dark"] = "light"
    visits: Annotated[int, Merge.add, Field(ge=0)] = 0
    nickname: str = Field(default="", alias="nickName")
    before: Self | None = None
    count: ClassVar[int] = 0
    _cached: int = 0

    @property
    def greeting(self) -> str:
        return f"hello {self.username}"


class AdminLogin(Login):
    """Inherits all fields, declares one, and changes how two are looked up."""

    level: int = 0
    username: Annotated[str, Lookup()] = ""
    user_id: int = 0


class Marked(SessionModel):
    """Its marks stand in other places than `Annotated[..., Lookup()]` in this file."""

    by_alias: marks.UserId
    by_name: Annotated[str, marks.UNIQUE]
    quoted: "Annotated[int, Lookup()]"  # noqa: UP037 - what is tested
    nested: Annotated[Annotated[int, Lookup()], Field(ge=0)]
    of_generic: marks.Looked[int]
    perhaps: Annotated[int, marks.mark()]
    plain: marks.Plain = ""
    dotted: marks.Dotted
    final: Final[Annotated[int, Lookup()]]
    described: Annotated[int, "a number", Strict, Lookup()]
    strict: Annotated[int, Strict, Merge.max] = 0
    computed: Annotated[str, Lookup(unique=marks.IS_UNIQUE)]
    by_number: Annotated[int, marks.MARKS[0]]
    by_function: Annotated[int, marks.mark]
    if marks.IS_UNIQUE:
        conditional: Annotated[int, Lookup()] = 0
    else:
        try:
            tried: Annotated[int, Lookup()] = 0
        finally:
            other: int = 0


class Unmarked(SessionModel):
    username: str = ""


class Open(SessionModel, extra="allow"):
    name: str = ""


class OpenByConfig(SessionModel):
    model_config = ConfigDict(extra="allow")
    name: str = ""


class OpenByDict(SessionModel):
    model_config = {"extra": "allow"}
    name: str = ""


class OpenByBase(OpenByConfig):
    number: int = 0


class ClosedAgain(OpenByConfig, extra="forbid"):
    number: int = 0


class PerhapsOpen(SessionModel):
    model_config = marks.CONFIG
    name: str = ""


class OpenByInnerClass(SessionModel):
    name: str = ""

    class Config:
        extra = "allow"


class Frozen(SessionModel, frozen=True):
    name: str = ""


class Page(SessionModel, Generic[T]):
    items: list[T]
    first: T


class Secretive(SessionModel):
    password: SecretStr


class Config(BaseModel):
    title: str = ""
    debug: bool = False
