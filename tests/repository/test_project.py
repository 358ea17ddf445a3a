"""Reading a part of a session as another model: which views fit, and what is read for them."""

from __future__ import annotations

import traceback
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, EmailStr, Field, RootModel, SecretStr, field_validator

from ndb_models import InvalidArgumentError, NdbClient, Repository, SchemaError, SessionModel, StoredDataError
from ndb_models.schema.envelope import RESERVED_KEY
from tests.repository.models import Address, User
from tests.repository.recording import RecordingEngine


class Account(SessionModel):
    username: str
    email: EmailStr = "b@example.org"
    balance: Decimal = Decimal(0)
    visits: int = Field(default=0, ge=0)
    address: Address = Address()
    roles: list[str] = []
    theme: str | None = None
    password: SecretStr = SecretStr("")
    passing: int = Field(default=0, exclude=True)
    camel: int = Field(default=0, alias="camelCase")


class Whole(Account):
    """All of it, by inheritance."""


class Names(BaseModel):
    theme: str | None
    username: str


class Aliased(BaseModel):
    """Names are those of the fields, whatever aliases a view has."""

    username: str = Field(alias="user")
    camel: int = Field(alias="camel-case")


class Wider(BaseModel):
    username: str | int
    theme: str | int | None
    balance: Any
    visits: int
    address: Address | None = None


class Same(BaseModel):
    visits: int = Field(ge=0)
    email: EmailStr
    password: SecretStr


class OfItsOwn(BaseModel):
    """What is not stored, and has a default, is the view's own matter."""

    username: str
    note: str = Field(default="-", exclude=True)


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    username: str
    balance: Decimal


FITTING: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (Names, {"theme": "dark", "username": "b"}),
    (Aliased, {"username": "b", "camel": 7}),
    (Wider, {"username": "b", "theme": "dark", "balance": "1.50", "visits": 3, "address": Address(street="S")}),
    (Same, {"visits": 3, "email": "b@example.org", "password": SecretStr("canary")}),
    (OfItsOwn, {"username": "b", "note": "-"}),
    (Strict, {"username": "b", "balance": Decimal("1.50")}),
]


def account() -> Account:
    return Account.model_validate(
        {
            "username": "b",
            "balance": "1.50",
            "visits": 3,
            "address": {"street": "S"},
            "theme": "dark",
            "password": "canary",
            "camelCase": 7,
        }
    )


@pytest.mark.parametrize(("view", "expected"), FITTING, ids=[view.__name__ for view, _ in FITTING])
async def test_a_view_that_fits_shows_its_part(
    client: NdbClient, view: type[BaseModel], expected: dict[str, Any]
) -> None:
    repo = Repository(client, Account)
    saved = await repo.save(account())
    for _ in range(2):
        shown = await repo.project(saved.tkn, view)
        assert type(shown) is view
        assert dict(shown) == expected


async def test_a_derived_model_is_a_view_of_all_and_is_not_saved(client: NdbClient) -> None:
    repo = Repository(client, Account)
    saved = await repo.save(account())
    shown = await repo.project(saved.tkn, Whole)
    assert dict(shown) == dict(saved)
    assert not shown.is_saved


@pytest.mark.parametrize("view", [view for view, _ in FITTING])
async def test_only_the_keys_of_the_view_are_read(
    timed: NdbClient, engine: RecordingEngine, view: type[BaseModel]
) -> None:
    repo = Repository(timed, Account)
    saved = await repo.save(account())
    engine.commands()
    await repo.project(saved.tkn, view)
    ((command, body),) = engine.requests()
    names = [name for name, field in view.model_fields.items() if not field.exclude]
    assert (command, body["keys"]) == ("SH_GET", [*names, RESERVED_KEY])


class Unknown(BaseModel):
    usrname: str


class ByAlias(BaseModel):
    camelCase: int  # noqa: N815 - an alias of the session's


class OtherType(BaseModel):
    username: str
    visits: str


class OtherElement(BaseModel):
    roles: list[int]


class NotOptional(BaseModel):
    theme: str


class Narrower(BaseModel):
    visits: int = Field(ge=1)


class NarrowerText(BaseModel):
    username: Annotated[str, Field(max_length=5)]


class NarrowerValues(BaseModel):
    username: Literal["a", "b"]


class NarrowerModel(BaseModel):
    address: Names


class Revealing(BaseModel):
    password: str


class NotStored(BaseModel):
    passing: int = 0


class Reserved(BaseModel):
    reserved: str = Field(alias="__ndb__")


class Root(RootModel[list[str]]):
    pass


UNFIT: list[tuple[type[BaseModel], str, str]] = [
    (Unknown, "usrname", "stores no such field"),
    (ByAlias, "camelCase", "stores no such field"),
    (OtherType, "visits", "use the same"),
    (OtherElement, "roles", "use the same"),
    (NotOptional, "theme", "use the same"),
    (Narrower, "visits", "use the same"),
    (NarrowerText, "username", "use the same"),
    (NarrowerValues, "username", "use the same"),
    (NarrowerModel, "address", "use the same"),
    (Revealing, "password", "use the same"),
    (NotStored, "passing", "stores no such field"),
    (Reserved, "reserved", "stores no such field"),
    (Root, "root", "stores no such field"),
]


@pytest.mark.parametrize(("view", "field", "reason"), UNFIT, ids=[view.__name__ for view, _, _ in UNFIT])
async def test_a_view_that_does_not_fit_is_refused_by_field_before_anything_is_sent(
    timed: NdbClient, engine: RecordingEngine, view: type[BaseModel], field: str, reason: str
) -> None:
    repo = Repository(timed, Account)
    saved = await repo.save(account())
    engine.commands()
    for _ in range(2):
        with pytest.raises(SchemaError, match=reason) as caught:
            await repo.project(saved.tkn, view)
        assert (caught.value.model, caught.value.field) == (view.__name__, field)
        assert "Account" in str(caught.value)
    assert engine.commands() == []


@pytest.mark.parametrize("view", [int, None, "Names", {}, Names(theme=None, username="b"), dict[str, str]])
async def test_what_is_no_model_is_no_view(client: NdbClient, view: Any) -> None:
    repo = Repository(client, Account)
    saved = await repo.save(account())
    with pytest.raises(InvalidArgumentError, match="a view is a Pydantic model"):
        await repo.project(saved.tkn, view)


class Late(BaseModel):
    """Names a type that is defined further down."""

    address: LaterAddress


LaterAddress = Address


async def test_a_view_may_name_types_before_they_are_defined(client: NdbClient) -> None:
    repo = Repository(client, Account)
    saved = await repo.save(account())
    assert (await repo.project(saved.tkn, Late)).address == Address(street="S")


async def test_stored_data_that_does_not_fit_is_named_by_the_view_and_not_shown(client: NdbClient) -> None:
    repo = Repository(client, Account)
    saved = await repo.save(account())
    await client.sh_set({"username": ["canary"], "visits": "canary"}, saved.tkn)
    with pytest.raises(StoredDataError) as caught:
        await repo.project(saved.tkn, Names)
    assert caught.value.model == "Names"
    assert {name for name, _ in caught.value.problems} == {"username"}
    assert "canary" not in str(caught.value)


async def test_a_views_own_validators_run(client: NdbClient) -> None:
    class Choosy(BaseModel):
        username: str

        @field_validator("username")
        @classmethod
        def _never(cls, value: str) -> str:
            raise ValueError(f"not {value}")

    repo = Repository(client, Account)
    saved = await repo.save(account())
    with pytest.raises(StoredDataError, match="username"):
        await repo.project(saved.tkn, Choosy)


async def test_what_is_stored_is_not_shown_where_it_does_not_fit_a_view(client: NdbClient) -> None:
    class Name(BaseModel):
        username: str

    repo = Repository(client, User)
    user = await repo.save(User(username="b"))
    await client.sh_set({"username": ["canary"]}, user.tkn)
    with pytest.raises(StoredDataError, match="username") as refused:
        await repo.project(user.tkn, Name)
    assert "canary" not in "".join(traceback.format_exception(refused.value))
