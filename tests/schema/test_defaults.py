"""Defaults: what a class is refused for where it is declared, and that what is taken can be saved as it is."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from fractions import Fraction
from threading import Lock
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    Field,
    SecretBytes,
    SecretStr,
    field_serializer,
    model_serializer,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from ndb_models import NdbClient, Repository, SchemaError, SessionModel, UnstorableError
from tests.schema.test_comparing import declare


class Colour(Enum):
    RED = "red"


class Shade(StrEnum):
    DARK = "dark"


class Level(IntEnum):
    LOW = 1


class Right(IntFlag):
    READ = 1


class Flagged(BaseModel):
    flag: bool = 0  # type: ignore[assignment]  # the fault


class Tagged(BaseModel):
    tags: list[str] = []


NOT_A_LIST: dict[str, Any] = {"tags": ("a",)}


class BadlyTagged(BaseModel):
    tags: list[str] = ()  # type: ignore[assignment]  # the fault


class Deep(BaseModel):
    inner: list[BadlyTagged] = []


@dataclass
class Point:
    xs: list[int] = ()  # type: ignore[assignment]  # the fault


class Blob(BaseModel):
    data: bytes = b"\xff"


class Names(TypedDict):
    names: list[str]


class Pair(NamedTuple):
    one: int = 0
    two: str = ""


TAKEN: dict[str, tuple[Any, Any]] = {
    "an empty list": (list[str], []),
    "a list as a sequence": (Sequence[str], []),
    "a tuple": (tuple[str, ...], ()),
    "an empty set": (set[int], set()),
    "a frozen set": (frozenset[int], frozenset({1})),
    "a dict": (dict[str, int], {"a": 1}),
    "a dict by numbers": (dict[int, str], {1: "a"}),
    "a mapping": (Mapping[str, int], {}),
    "a deque": (deque[int], deque([1])),
    "None where it may be": (int | None, None),
    "a number": (int, 3),
    "a float": (float, 1.0),
    "a decimal": (Decimal, Decimal("1.50")),
    "a text": (str, "a"),
    "bytes": (bytes, b"a"),
    "a day": (date, date(2026, 1, 1)),
    "a moment": (datetime, datetime(2026, 1, 1, tzinfo=UTC)),
    "a time": (time, time(1, 2)),
    "a duration": (timedelta, timedelta(seconds=5)),
    "an id": (UUID, UUID(int=1)),
    "a member of an enum": (Colour, Colour.RED),
    "a member of a text enum": (Shade, Shade.DARK),
    "a secret": (SecretStr, SecretStr("a")),
    "a model": (Tagged, Tagged(tags=["a"])),
    "a list of models": (list[Tagged], [Tagged()]),
    "a named tuple": (Pair, Pair()),
    "a typed dict": (Names, {"names": []}),
    "a factory": (list[str], Field(default_factory=list)),
    "what is validated": (list[str], Field(default=(), validate_default=True)),
    "a raw value that is validated": (Colour, Field(default="red", validate_default=True)),
    "anything": (Any, [1, {"a": None}]),
}

REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a tuple for a list": (list[str], (), "type tuple, and would come back from the store as list"),
    "a tuple for a sequence": (Sequence[str], (), "as list; write one of type list"),
    "a list for a tuple": (tuple[str, ...], [], "as tuple"),
    "a list for a set": (set[int], [], "as set"),
    "a set for a frozen set": (frozenset[int], set(), "as frozenset"),
    "a list for a deque": (deque[int], [], "as deque"),
    "None for a number": (int, None, r"declare it as `\.\.\. \| None`"),
    "None for a list": (list[int], None, r"declare it as `\.\.\. \| None`"),
    "a bool for a float": (float, True, "as float"),
    "a bool for an int": (int, True, "as int"),
    "a number for a bool": (bool, 0, "of type int, and would come back from the store as bool"),
    "a number for a bool or None": (bool | None, 1, "as bool"),
    "a number for a member of an enum of numbers": (Level, 1, "as Level"),
    "a number for a flag": (Right, 1, "as Right"),
    "a number for a fraction": (Fraction, 1, "as Fraction"),
    "a number for a size": (ByteSize, 1024, "as ByteSize"),
    "a number for a bool in a model": (Flagged, ..., "a default inside of its type: its default is of type int"),
    "a text for a number": (int, "1", "as int"),
    "a text for a moment": (datetime, "2026-01-01", "as datetime"),
    "a text for an id": (UUID, str(UUID(int=1)), "as UUID"),
    "a raw value for an enum": (Colour, "red", "as Colour"),
    "a raw value for a text enum": (Shade, "dark", "as Shade"),
    "a text for a secret": (SecretStr, "", "as SecretStr"),
    "a dict for a model": (Tagged, {"tags": []}, "as Tagged"),
    "texts for numbers in a dict": (dict[int, str], {"1": "a"}, "would not come back from the store as it is"),
    "a tuple in a list": (list[list[int]], [(1,)], "would not come back from the store as it is"),
    "a tuple in a model": (Tagged, Tagged.model_construct(**NOT_A_LIST), "would not come back"),
    "a tuple for anything": (Any, (1,), "as list"),
    "a default out of bounds": (Annotated[int, Field(ge=1)], 0, "does not fit its type"),
    "a default that is too short": (Annotated[str, Field(min_length=1)], "", "does not fit its type"),
    "a factory of another type": (list[str], Field(default_factory=tuple), "as list"),
    "what is validated and does not fit": (int, Field(default="x", validate_default=True), "does not fit"),
    "bytes that are no UTF-8": (bytes, b"\xff", "cannot be written as JSON"),
    "such bytes in a list": (list[bytes], [b"\xff"], "cannot be written as JSON"),
    "such bytes in a secret": (SecretBytes, SecretBytes(b"\xff"), "cannot be written as JSON"),
    "such bytes for anything": (Any, b"\xff", "cannot be written as JSON"),
    "an object for anything": (Any, object(), "cannot be written as JSON"),
    "an object in a dict": (dict[str, Any], {"a": object()}, "cannot be written as JSON"),
    "an object for an object": (object, object(), "cannot be written as JSON"),
    "a lock": (Any, Lock(), "cannot be written as JSON"),
    "a function": (Any, len, "cannot be written as JSON"),
    "a class": (type[int], int, "cannot be written as JSON"),
    "half a surrogate pair": (str, "\ud800", "cannot be written as JSON"),
    "no finite number": (float, float("inf"), "does not fit"),
    "bytes in a nested model": (Blob, ..., "a default inside of its type: its default cannot be written as JSON"),
    "in a nested model": (BadlyTagged, ..., "a default inside of its type"),
    "in a list of nested models": (list[BadlyTagged], ..., "a default inside of its type"),
    "in a model of a model": (Deep, ..., "a default inside of its type"),
    "in an optional nested model": (BadlyTagged | None, None, "a default inside of its type"),
    "in a dataclass": (Point, ..., "a default inside of its type"),
}


@pytest.mark.parametrize("case", TAKEN)
async def test_a_default_that_is_taken_can_be_saved(client: NdbClient, case: str) -> None:
    model = declare({"field": TAKEN[case]})
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model())
    assert await repo.get(saved.tkn) == saved


@pytest.mark.parametrize("case", REFUSED)
def test_a_default_that_would_not_come_back_is_refused_where_it_is_declared(case: str) -> None:
    annotation, default, reason = REFUSED[case]
    with pytest.raises(SchemaError, match=reason) as caught:
        declare({"field": annotation if default is ... else (annotation, default)})
    assert (caught.value.model, caught.value.field) == ("Session", "field")


def test_a_member_of_an_enum_is_no_default_where_values_are_used() -> None:
    with pytest.raises(SchemaError, match="as str"):
        declare({"field": (Colour, Colour.RED)}, use_enum_values=True)
    declare({"field": (Colour, "red")}, use_enum_values=True)


def test_a_class_whose_defaults_are_validated_may_write_them_as_it_likes() -> None:
    model: Any = declare({"field": (list[str], ()), "other": (Colour, "red")}, validate_default=True)
    assert (model().field, model().other) == ([], Colour.RED)


def test_a_default_that_is_not_stored_may_be_anything() -> None:
    declare({"field": (list[str], Field(default=(), exclude=True))})


def test_a_default_that_a_validator_of_the_program_refuses_is_left_to_it() -> None:
    def never(value: object) -> object:
        raise ValueError("give one")

    declare({"field": (Annotated[int, BeforeValidator(never)], 0)})


def test_a_default_that_a_function_of_the_program_writes_is_left_to_it() -> None:
    class ByField(SessionModel):
        data: bytes = b"\xff"

        @field_serializer("data")
        def written(self, data: bytes) -> str:
            return data.hex()

    class AsAWhole(SessionModel):
        data: bytes = b"\xff"

        @model_serializer
        def written(self) -> dict[str, str]:
            return {"data": self.data.hex()}

    declare({"data": (bytes, b"\xff")}, ser_json_bytes="base64", val_json_bytes="base64")


def test_a_factory_of_the_program_is_not_called_at_definition() -> None:
    def made() -> OrderedDict[str, int]:
        raise AssertionError

    declare({"field": (dict[str, int], Field(default_factory=made))})


class Late(SessionModel):
    field: LaterType = ()  # type: ignore[assignment]  # the fault


LaterType = list[int]


def test_a_default_of_a_type_that_is_defined_later_is_refused_when_the_class_is_stored(client: NdbClient) -> None:
    for _ in range(2):
        with pytest.raises(SchemaError, match=r"Late\.field: its default is of type tuple"):
            Repository(client, Late)


@pytest.mark.parametrize("annotation", [float, Decimal, float | None, Decimal | None, Annotated[float, Field(ge=0)]])
async def test_a_whole_number_is_taken_as_what_its_field_declares(client: NdbClient, annotation: Any) -> None:
    model: Any = declare({"field": (annotation, 1)})
    repo: Repository[SessionModel] = Repository(client, model)
    saved: Any = await repo.save(model())
    assert type(saved.field) in (float, Decimal)
    assert await repo.get(saved.tkn) == saved
    assert repr(await repo.get(saved.tkn)) == repr(saved)


@dataclass
class Rates:
    net: float = 1
    tax: Decimal = 0  # type: ignore[assignment]  # as people write it


@pydantic_dataclass
class CheckedRates:
    net: float = 1
    tax: Decimal | None = Field(default=0)  # type: ignore[assignment]  # as people write it


@pytest.mark.parametrize("kind", [Rates, CheckedRates])
async def test_a_whole_number_is_taken_as_what_a_field_of_a_dataclass_declares(client: NdbClient, kind: Any) -> None:
    model: Any = declare({"rates": list[kind]})
    repo: Repository[SessionModel] = Repository(client, model)
    read: Any = await repo.get((await repo.save(model(rates=[kind()]))).tkn)
    assert repr(read.rates) == repr([kind(net=1.0, tax=Decimal(0))])
    read.rates[0].net = 2
    with pytest.raises(UnstorableError, match="rates"):
        await repo.save(read)


def containing_itself(kind: str) -> Any:
    items: list[Any] = []
    items.append(items if kind == "list" else {"items": items} if kind == "dict" else (items,))
    return items


@pytest.mark.parametrize("kind", ["list", "dict", "tuple"])
@pytest.mark.parametrize("annotation", [list, list[Any], list[Any] | None, Any])
def test_a_default_that_contains_itself_is_refused_where_it_is_declared(kind: str, annotation: Any) -> None:
    with pytest.raises(SchemaError, match="value: its default"):
        declare({"value": (annotation, containing_itself(kind))})


def test_a_default_inside_of_a_type_that_contains_itself_is_refused_too() -> None:
    class Holder(BaseModel):
        items: list[Any] = containing_itself("list")

    with pytest.raises(SchemaError, match="value: a default inside of its type: "):
        declare({"value": Holder})


@pytest.mark.parametrize("annotation", [list[list[SecretStr]], Sequence[SecretStr], dict[str, int]])
async def test_a_default_that_contains_itself_and_does_not_fit_is_refused_by_save(
    client: NdbClient, annotation: Any
) -> None:
    model = declare({"value": (annotation, containing_itself("list"))})
    with pytest.raises(UnstorableError, match="value: it cannot be written as JSON"):
        await Repository(client, model).save(model())


async def test_a_default_that_contains_itself_may_stand_where_it_is_not_stored(client: NdbClient) -> None:
    model = declare({"value": (list, Field(default=containing_itself("list"), exclude=True))})
    repo = Repository(client, model)
    session = await repo.save(model())
    assert await repo.exists(session.tkn)
