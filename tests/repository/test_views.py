"""Views, by what they make of one field: each that is taken shows the model's value, or a looser form of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias
from uuid import UUID

import annotated_types
import pytest
from pydantic import (
    UUID4,
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    EmailStr,
    Field,
    FiniteFloat,
    JsonValue,
    NonNegativeInt,
    PlainSerializer,
    RootModel,
    SecretBytes,
    SecretStr,
    Tag,
    WrapSerializer,
    conint,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from ndb_models import NdbClient, Repository, SchemaError, SessionModel
from tests.schema.test_comparing import declare


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str = ""
    city: str = ""
    lines: list[str] = []


class City(BaseModel):
    city: str


class CityWithNote(BaseModel):
    city: str
    note: str = "-"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    name: str = ""
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = ""


class NamedCat(BaseModel):
    kind: Literal["cat"] = "cat"
    name: str


class CatOfNumbers(BaseModel):
    kind: Literal["cat"] = "cat"
    name: int = 0


def kind_of(value: Any) -> str:
    return str(value["kind"] if isinstance(value, dict) else value.kind)


def other_kind_of(value: Any) -> str:
    return "dog" if kind_of(value) == "cat" else "cat"


ByKind = Annotated[Cat | Dog, Field(discriminator="kind")]
SmallerByKind = Annotated[Dog | NamedCat, Field(discriminator="kind")]
Short = Annotated[SecretStr, Field(min_length=2, max_length=8)]


class CityThatForbids(BaseModel, extra="forbid"):
    city: str


class CityThatTakes(BaseModel, extra="allow"):
    city: str


class CityThatNeedsMore(BaseModel):
    city: str
    country: str


class CityInCapitals(BaseModel, str_to_upper=True):
    city: str


class Lines(BaseModel):
    lines: Sequence[str]


class Person(BaseModel):
    name: str
    address: Address = Address()


class PersonByCity(BaseModel):
    address: City


class Vault(BaseModel):
    secret: SecretStr = SecretStr("")
    name: str = ""


class OpenVault(BaseModel):
    secret: str


class VaultName(BaseModel):
    name: str


class Checked(BaseModel):
    low: int = 0
    high: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        assert self.low <= self.high
        return self


class Low(BaseModel):
    low: int


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class ShortTree(BaseModel):
    children: list[ShortTree] = []


class Names(TypedDict):
    name: str


class Pair(NamedTuple):
    one: int
    two: str


def doubled(value: int) -> int:
    return value * 2


def halved(value: int) -> int:
    return value // 2


def cents(value: Any) -> Any:
    return Decimal(value) / 100 if isinstance(value, (str, int)) else value


Cents = Annotated[
    Decimal, BeforeValidator(cents), PlainSerializer(lambda value: str(int(value * 100)), when_used="json")
]
Wrapped = Annotated[int, WrapSerializer(lambda value, _: f"{value}")]
AtLeastZero = Annotated[int, Field(ge=0)]

# The model's type, a value, the view's type, and what it shows; of the same type, what the model has.
_RANDOM = UUID("6f9619ff-8b86-4011-b42d-00cf4fc964ff")

Natural: TypeAlias = Annotated[int, Field(ge=0)]

TAKEN: dict[str, tuple[Any, Any, Any, Any]] = {
    "a tuple with looser items": (tuple[Natural, str], (1, "a"), tuple[int, str], (1, "a")),
    "a tuple of any length with looser items": (tuple[Natural, ...], (1, 2), tuple[int, ...], (1, 2)),
    "a tuple as one of any length": (tuple[Natural, int], (1, -2), tuple[int, ...], (1, -2)),
    "a dict with looser values": (dict[str, Natural], {"a": 1}, dict[str, int], {"a": 1}),
    "literals among alternatives": (Literal["a", 1] | None, 1, Literal["a", 1, True] | None, 1),
    "a tagged union of smaller members": (ByKind, Cat(name="tom"), SmallerByKind, NamedCat(name="tom")),
    "a list of a tagged union": (
        list[ByKind],
        [Cat(name="a"), Dog()],
        Sequence[SmallerByKind],
        [NamedCat(name="a"), Dog()],
    ),
    "a tagged union or None": (ByKind | None, Dog(name="rex"), SmallerByKind | None, Dog(name="rex")),
    "a tagged union by a function": (
        Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)],
        Cat(name="tom"),
        Annotated[Annotated[NamedCat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)],
        NamedCat(name="tom"),
    ),
    "a bounded secret without bounds": (Short, SecretStr("abc"), SecretStr, SecretStr("abc")),
    "a bounded secret with looser bounds": (
        Short,
        SecretStr("abc"),
        Annotated[SecretStr, Field(max_length=9)],
        SecretStr("abc"),
    ),
    "a bounded secret with the same bounds, otherwise written": (
        Short,
        SecretStr("abc"),
        Annotated[SecretStr, Field(max_length=8), Field(min_length=2)],
        SecretStr("abc"),
    ),
    "bounded secret bytes": (
        Annotated[SecretBytes, Field(max_length=8)],
        SecretBytes(b"abc"),
        SecretBytes | None,
        SecretBytes(b"abc"),
    ),
    "the same": (int, 3, int, 3),
    "anything": (list[int], [1, 2], Any, [1, 2]),
    "an object": (list[int], [1, 2], object, [1, 2]),
    "JSON": (Decimal, Decimal("1.50"), Any, "1.50"),
    "a list of anything": (list[int], [1, 2], list[Any], [1, 2]),
    "a bare list": (list[int], [1, 2], list, [1, 2]),
    "a sequence": (list[int], [1, 2], Sequence[int], [1, 2]),
    "a sequence of a tuple": (tuple[int, ...], (1, 2), Sequence[int], [1, 2]),
    "a list of a wider type": (list[int], [1], list[int | None], [1]),
    "a mapping": (dict[str, int], {"a": 1}, Mapping[str, int], {"a": 1}),
    "a dict of anything": (dict[str, int], {"a": 1}, dict[str, Any], {"a": 1}),
    "optional": (int, 3, int | None, 3),
    "optional, of an optional": (int | None, None, int | None, None),
    "an alternative more": (str, "5", str | int, "5"),
    "alternatives in another order": (int | str, "5", str | int, "5"),
    "no bound": (AtLeastZero, 3, int, 3),
    "a looser bound": (Annotated[int, Field(ge=5)], 5, AtLeastZero, 5),
    "an excluded bound for an included one": (AtLeastZero, 0, Annotated[int, Field(gt=-1)], 0),
    "a bound by conint": (AtLeastZero, 3, conint(ge=0), 3),
    "any version of a UUID": (UUID4, _RANDOM, UUID, _RANDOM),
    "floats of all kinds": (FiniteFloat, 1.5, float, 1.5),
    "floats of all kinds with a bound": (Annotated[FiniteFloat, Field(gt=1)], 1.5, Annotated[float, Field(gt=0)], 1.5),
    "finite decimals still": (Annotated[Decimal, Field(max_digits=5)], Decimal("1.50"), Decimal, Decimal("1.50")),
    "a bound by Pydantic's type": (AtLeastZero, 3, NonNegativeInt, 3),
    "a bound by annotated_types": (NonNegativeInt, 3, Annotated[int, annotated_types.Ge(0)], 3),
    "an interval": (Annotated[int, Field(ge=1, le=3)], 2, Annotated[int, annotated_types.Interval(ge=0, le=4)], 2),
    "a longer text": (Annotated[str, Field(max_length=3)], "abc", Annotated[str, Field(max_length=9)], "abc"),
    "a text without its pattern": (Annotated[str, Field(pattern="^a")], "abc", str, "abc"),
    "a list that may be longer": (Annotated[list[int], Field(max_length=2)], [1], list[int], [1]),
    "a multiple of less": (Annotated[int, Field(multiple_of=6)], 6, Annotated[int, Field(multiple_of=3)], 6),
    "a literal more": (Literal["a"], "a", Literal["b", "a"], "a"),
    "a literal as text": (Literal["a", "b"], "a", str, "a"),
    "a smaller nested model": (Address, Address(city="C"), City, City(city="C")),
    "a nested model with a field of its own": (Address, Address(city="C"), CityWithNote, CityWithNote(city="C")),
    "a looser nested model": (Address, Address(lines=["a"]), Lines, Lines(lines=["a"])),
    "smaller models in a list": (list[Address], [Address(city="C")], list[City], [City(city="C")]),
    "smaller models in a dict": (dict[str, Address], {"a": Address()}, dict[str, City | None], {"a": City(city="")}),
    "a smaller model in a model": (Person, Person(name="p"), PersonByCity, PersonByCity(address=City(city=""))),
    "a nested model without its secret": (Vault, Vault(name="n"), VaultName, VaultName(name="n")),
    "a part of a model that is checked": (Checked, Checked(high=1), Low, Low(low=0)),
    "a smaller tree": (Tree, Tree(value=1, children=[Tree(value=2)]), ShortTree, ShortTree(children=[ShortTree()])),
    "a nested model as JSON": (Address, Address(city="C"), dict[str, Any] | Any, ...),
    "an enum": (Colour, Colour.RED, Colour, Colour.RED),
    "a secret": (SecretStr, SecretStr("s"), SecretStr, SecretStr("s")),
    "an optional secret": (SecretStr, SecretStr("s"), SecretStr | None, SecretStr("s")),
    "an address": (EmailStr, "b@example.org", EmailStr, "b@example.org"),
    "an annotated type": (Cents, Decimal("1.50"), Cents, Decimal("1.50")),
    "a list of an annotated type": (list[Cents], [Decimal("1.50")], Sequence[Cents], [Decimal("1.50")]),
    "a validator by Annotated": (Annotated[int, AfterValidator(abs)], 3, Annotated[int, AfterValidator(abs)], 3),
    "a path": (Path, Path("/a"), Path, Path("/a")),
    "an id": (UUID, UUID(int=1), UUID | None, UUID(int=1)),
    "a moment": (datetime, datetime(2026, 1, 1, tzinfo=UTC), datetime, datetime(2026, 1, 1, tzinfo=UTC)),
    "a duration": (timedelta, timedelta(seconds=1), timedelta, timedelta(seconds=1)),
    "a typed dict": (Names, {"name": "n"}, Names, {"name": "n"}),
    "a named tuple": (Pair, Pair(1, "a"), Pair, Pair(1, "a")),
    "JSON values": (JsonValue, {"a": [1]}, JsonValue, {"a": [1]}),
}
del TAKEN["a nested model as JSON"]

REFUSED: dict[str, tuple[Any, Any]] = {
    "a shorter tuple": (tuple[int, ...], Annotated[tuple[int, ...], Field(max_length=1)]),
    "a tuple of another length": (tuple[int, int], tuple[int, int, int]),
    "a tuple of any length as one of two": (tuple[int, ...], tuple[int, int]),
    "a tuple with narrower items": (tuple[int, str], tuple[Natural, str]),
    "a smaller dict": (dict[str, int], Annotated[dict[str, int], Field(max_length=1)]),
    "a dict with narrower values": (dict[str, int], dict[str, Natural]),
    "alternatives in another mode": (int | str, Annotated[str | int, Field(union_mode="left_to_right")]),
    "a root model": (RootModel[list[int]], RootModel[list[Natural]]),
    "a tagged union with a member of another type": (
        ByKind,
        Annotated[CatOfNumbers | Dog, Field(discriminator="kind")],
    ),
    "a tagged union with fewer members": (ByKind, NamedCat),
    "a tagged union by another function": (
        Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)],
        Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(other_kind_of)],
    ),
    "a shorter secret": (Short, Annotated[SecretStr, Field(max_length=7)]),
    "a longer secret": (Short, Annotated[SecretStr, Field(min_length=3)]),
    "a bounded secret": (SecretStr, Short),
    "the text of a secret": (Short, str),
    "a secret as anything": (Short, Any),
    "the bytes of a secret": (Short, SecretBytes),
    "one version of a UUID": (UUID, UUID4),
    "finite floats alone": (float, FiniteFloat),
    "finite decimals alone": (Annotated[Decimal, Field(allow_inf_nan=True)], Decimal),
    "another type": (int, str),
    "a text as a number": (str, int),
    "a number as a decimal": (int, Decimal),
    "not optional": (int | None, int),
    "an alternative less": (int | str, int),
    "an alternative that may take its place": (str, UUID | str),
    "an alternative that may take its place, of times": (str, datetime | str),
    "a bound": (int, AtLeastZero),
    "a stricter bound": (AtLeastZero, Annotated[int, Field(ge=1)]),
    "a length": (str, Annotated[str, Field(max_length=5)]),
    "a pattern": (str, Annotated[str, Field(pattern="^a")]),
    "an address of a text": (str, EmailStr),
    "elements of another type": (list[int], list[str]),
    "a set of a list": (list[int], set[int]),
    "a list of a set": (set[int], list[int]),
    "a list of a tuple": (tuple[int, ...], list[int]),
    "a literal less": (Literal["a", "b"], Literal["a"]),
    "a text of an enum": (Colour, str),
    "an enum of a text": (str, Colour),
    "a text of a secret": (SecretStr, str),
    "anything of a secret": (SecretStr, Any),
    "an object of a secret": (SecretStr, object),
    "anything of secrets in a list": (list[SecretStr], list[Any]),
    "a secret of a text": (str, SecretStr),
    "a nested model that reveals": (Vault, OpenVault),
    "anything of a model with a secret": (Vault, Any),
    "a nested model that needs more": (Address, CityThatNeedsMore),
    "a nested model that forbids the others": (Address, CityThatForbids),
    "a nested model that takes the others": (Vault, CityThatTakes),
    "a nested model that reads capitals": (Address, CityInCapitals),
    "a decimal without its validator": (Cents, Decimal),
    "a decimal with a validator": (Decimal, Cents),
    "a list of decimals without theirs": (list[Cents], list[Decimal]),
    "anything of what a function writes": (Wrapped, Any),
    "a number without its validator": (Annotated[int, AfterValidator(doubled)], int),
    "another validator": (Annotated[int, AfterValidator(doubled)], Annotated[int, AfterValidator(halved)]),
    "a validator of its type's": (int, Annotated[int, AfterValidator(doubled)]),
    "a moment as a day": (datetime, date),
    "a moment as a number": (datetime, int),
    "other keys": (dict[str, int], dict[int, int]),
    "a bounded list": (list[int], Annotated[list[int], Field(max_length=3)]),
    "a required nested field": (Names, City),
}


def view_of(annotation: Any, **configured: Any) -> type[BaseModel]:
    metaclass: Any = type(BaseModel)
    body = {"__annotations__": {"field": annotation}, "__module__": __name__}
    view: type[BaseModel] = metaclass("View", (BaseModel,), body, **configured)
    return view


@pytest.mark.parametrize("case", TAKEN)
async def test_a_view_that_takes_what_the_model_writes_shows_it(client: NdbClient, case: str) -> None:
    annotation, value, looser, shown = TAKEN[case]
    model: Any = declare({"field": annotation})
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model(field=value))
    view: Any = await repo.project(saved.tkn, view_of(looser))
    assert (view.field, type(view.field)) == (shown, type(shown))


@pytest.mark.parametrize("case", REFUSED)
async def test_a_view_that_may_show_something_else_is_refused(client: NdbClient, case: str) -> None:
    annotation, narrower = REFUSED[case]
    repo = Repository(client, declare({"field": annotation}))
    with pytest.raises(SchemaError, match=r"View\.field: it would not read as Session\.field writes it.*use the same"):
        await repo.project(1, view_of(narrower))


CONFIGURED: dict[str, tuple[Any, dict[str, Any]]] = {
    "bytes": (bytes, {"ser_json_bytes": "base64", "val_json_bytes": "base64"}),
    "bytes in hexadecimal": (list[bytes], {"ser_json_bytes": "hex", "val_json_bytes": "hex"}),
    "times": (datetime, {"ser_json_temporal": "milliseconds", "val_temporal_unit": "milliseconds"}),
    "durations": (timedelta, {"ser_json_timedelta": "float"}),
    "numbers": (float, {"ser_json_inf_nan": "strings"}),
    "values of enums": (Colour, {"use_enum_values": True}),
    "small letters": (str, {"str_to_lower": True}),
    "stripped text": (list[str], {"str_strip_whitespace": True}),
    "numbers as text": (str, {"coerce_numbers_to_str": True}),
}


@pytest.mark.parametrize("case", CONFIGURED)
async def test_a_view_is_configured_as_the_model_is(client: NdbClient, case: str) -> None:
    annotation, configured = CONFIGURED[case]
    repo = Repository(client, declare({"field": annotation}, **configured))
    for other in (view_of(annotation), view_of(annotation, str_to_upper=True)):
        with pytest.raises(SchemaError, match="the configuration of the class"):
            await repo.project(1, other)
    plain = Repository(client, declare({"field": annotation}))
    with pytest.raises(SchemaError, match="the configuration of the class"):
        await plain.project(1, view_of(annotation, **configured))


async def test_bytes_are_shown_as_the_model_has_them(client: NdbClient) -> None:
    configured: dict[str, Any] = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}
    model: Any = declare({"field": bytes}, **configured)
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model(field=b"\xff\x00"))
    shown: Any = await repo.project(saved.tkn, view_of(bytes, **configured))
    assert shown.field == b"\xff\x00"
    assert (await repo.raw(saved.tkn))["field"] == '"_wA="'
    with pytest.raises(SchemaError):
        await repo.project(saved.tkn, view_of(Any))


class Priced(SessionModel, schema="views-priced"):
    price: Decimal
    name: str = ""

    @field_serializer("price")
    def _in_cents(self, price: Decimal) -> int:
        return int(price * 100)

    @field_validator("price", mode="before")
    @classmethod
    def _from_cents(cls, price: Any) -> Any:
        return Decimal(price) / 100 if isinstance(price, int) else price


class Inherited(Priced, schema="views-inherited"):
    """Reads as it writes."""


class Price(BaseModel):
    price: Decimal


class Name(BaseModel):
    name: str


async def test_a_view_without_the_validators_of_a_field_is_refused_and_one_that_inherits_them_is_not(
    client: NdbClient,
) -> None:
    repo = Repository(client, Priced)
    saved = await repo.save(Priced(price=Decimal("1.50"), name="n"))
    with pytest.raises(SchemaError, match=r"Price\.price"):
        await repo.project(saved.tkn, Price)
    assert (await repo.project(saved.tkn, Name)).name == "n"
    assert (await repo.project(saved.tkn, Inherited)).price == Decimal("1.50")


async def test_a_model_that_is_written_as_a_whole_by_a_function_has_no_other_view(client: NdbClient) -> None:
    class Turned(SessionModel):
        one: int = 0
        two: int = 0

        @model_serializer
        def _turned(self) -> dict[str, int]:
            return {"one": self.two, "two": self.one}

        @model_validator(mode="before")
        @classmethod
        def _back(cls, keys: Any) -> Any:
            return {"one": keys.get("two", 0), "two": keys.get("one", 0)}

    class One(BaseModel):
        one: int

    with pytest.raises(SchemaError, match=r"One: Turned is written as a whole by _turned"):
        await Repository(client, Turned).project(1, One)


async def test_a_model_that_is_read_as_a_whole_by_a_function_has_no_other_view(client: NdbClient) -> None:
    class Scaled(SessionModel):
        one: int = 0

        @model_validator(mode="before")
        @classmethod
        def _scale(cls, keys: Any) -> Any:
            return keys

    class One(BaseModel):
        one: int

    with pytest.raises(SchemaError, match=r"One: Scaled is read as a whole by _scale"):
        await Repository(client, Scaled).project(1, One)


async def test_a_field_of_the_views_own_has_its_default_whatever_is_stored(client: NdbClient) -> None:
    class Noted(BaseModel):
        number: int
        note: str = "-"

    model: Any = declare({"number": int})
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model(number=1))
    await client.sh_set({"note": "canary"}, saved.tkn)
    assert (await repo.project(saved.tkn, Noted)).note == "-"


async def test_a_view_of_an_open_model_shows_what_it_has_beyond_its_fields_as_json_only(client: NdbClient) -> None:
    class Themed(BaseModel):
        theme: Any = None

    class Numbered(BaseModel):
        theme: int = 0

    model: Any = declare({"number": int}, extra="allow")
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model(number=1, theme=["dark"]))
    assert (await repo.project(saved.tkn, Themed)).theme == ["dark"]
    with pytest.raises(SchemaError, match=r"Numbered\.theme"):
        await repo.project(saved.tkn, Numbered)


class Grown(SessionModel, schema="views-grown"):
    one: int = 0
    two: int = 7
    tags: list[str] = Field(default_factory=list, exclude_if=lambda tags: not tags)
    key: SecretStr = SecretStr("s")


class OfGrown(BaseModel):
    two: int = 0
    tags: list[str] = ["none"]
    key: SecretStr


async def test_a_key_that_is_not_stored_has_the_default_of_the_model_in_a_view(client: NdbClient) -> None:
    repo = Repository(client, Grown)
    saved = await repo.save(Grown(one=1))
    await client.sh_rmv(["two", "key"], saved.tkn)  # as a session from before these fields has none
    shown = await repo.project(saved.tkn, OfGrown)
    assert (shown.two, shown.tags, shown.key.get_secret_value()) == (7, [], "s")
