"""Where `Merge` marks may stand, and where they are refused when the class is declared."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, create_model
from typing_extensions import TypeAliasType, TypedDict

from ndb_models import Merge, NdbClient, Repository, SchemaError, SessionModel
from ndb_models.schema.merging import Merger

T = TypeVar("T")


class Level(enum.IntEnum):
    low = 1
    high = 2


class Colour(enum.Enum):
    red = "red"


class Name(enum.StrEnum):
    a = "a"


@dataclass(order=True)
class Release:
    major: int = 0


class Nested(BaseModel):
    name: str = ""


Cents = NewType("Cents", int)
Count = TypeAliasType("Count", Annotated[int, Merge.add])
Tree = TypeAliasType("Tree", "dict[str, Tree] | int")

ByName = TypeAliasType("ByName", dict[str, T], type_params=(T,))

FITTING: list[Any] = [
    *(Annotated[kind, Merge.add] for kind in (int, float, Decimal, Fraction, timedelta, Cents, int | None)),
    Annotated[int, Field(ge=0), Merge.add],
    Annotated[int, Merge.add] | None,
    Count,
    dict[str, Count],
    dict[str, Annotated[int, Merge.add]] | None,
    dict[str, dict[str, Annotated[int, Merge.max]]],
    *(Annotated[kind, Merge.max] for kind in (int, bool, str, bytes, date, datetime, time, UUID, Level, Release)),
    Annotated[Literal[1, 2], Merge.min],
    Annotated[tuple[int, ...], Merge.max],
    *(Annotated[kind, mark] for kind in (int, Any, list[int], Nested) for mark in (Merge.conflict, Merge.later)),
    Annotated[dict[str, Annotated[int, Merge.add]], Merge.structure],
    Tree,
    list[Tree],
]


@pytest.mark.parametrize("annotation", FITTING, ids=str)
def test_a_mark_may_stand_where_it_makes_sense(annotation: Any) -> None:
    model = create_model("Model", __base__=SessionModel, field=(annotation, ...))

    Merger(model)


WHERE = "a Merge mark is for a whole field or for the values of a dict"
NO_SUM = "Merge.add is for int, float"
NO_ORDER = "needs a type with an order"

UNFIT: list[tuple[Any, str]] = [
    *((Annotated[kind, Merge.add], NO_SUM) for kind in (str, bool, Level, Any, Literal[1], dict[str, int], int | str)),
    *((Annotated[kind, Merge.max], NO_ORDER) for kind in (Nested, Any, set[int], dict[str, int], Colour, list[int])),
    *((Annotated[kind, Merge.min], NO_ORDER) for kind in (Name, Literal["a"], complex, Nested | None)),
    (Annotated[int, Merge.add, Merge.max], "two Merge marks"),
    (Annotated[Count, Merge.max], "two Merge marks"),
    (Annotated[int, Merge], "not Merge alone"),
    (Merge.add, "write Annotated"),
    (Merge, "write Annotated"),
    (list[Annotated[int, Merge.add]], WHERE),
    (set[Count], WHERE),
    (ByName[Annotated[str, Merge.add]], NO_SUM),
    (tuple[Annotated[int, Merge.max], ...], WHERE),
    (dict[Annotated[str, Merge.max], int], WHERE),
    (Annotated[int, Merge.add] | str, WHERE),
    (dict[str, Count] | list[int], WHERE),
    (Annotated[dict[str, Count], Merge.conflict], "marked as a whole"),
    (Annotated[dict[str, Count], Merge.later], "marked as a whole"),
]


@pytest.mark.parametrize(("annotation", "problem"), UNFIT, ids=str)
def test_a_mark_that_makes_no_sense_is_refused_with_the_name_of_its_field(annotation: Any, problem: str) -> None:
    namespace = {"__annotations__": {"plain": int, "field": annotation}, "__module__": __name__}
    with pytest.raises(SchemaError, match=rf"Model\.field: .*{problem}") as caught:
        type("Model", (SessionModel,), namespace)

    assert caught.value.field == "field"


def test_a_mark_as_a_default_or_on_a_field_that_is_not_stored_is_refused() -> None:
    with pytest.raises(SchemaError, match="write Annotated"):
        create_model("Model", __base__=SessionModel, field=(Any, Merge.add))
    with pytest.raises(SchemaError, match="not stored"):
        create_model("Model", __base__=SessionModel, field=(Annotated[int, Merge.add], Field(0, exclude=True)))


class Marked(BaseModel):
    tags: Annotated[list[str], Merge.add] = []


@dataclass
class Holder:
    marked: list[Marked]


class Row(TypedDict):
    name: Annotated[str, Merge.add]


class Counted(BaseModel):
    visits: Annotated[int, Merge.add] = 0


class Strict(SessionModel, merge=Merge.conflict):
    name: str = ""


class Thread(BaseModel):
    likes: Annotated[int, Merge.add] = 0
    replies: list[Thread] = []


class Forum(BaseModel):
    threads: dict[str, Forum | Counted] = {}


@pytest.mark.parametrize(
    ("annotation", "owner"),
    [
        (Marked | None, r"Marked\.tags"),
        (dict[str, Holder], r"Marked\.tags"),
        (dict[str, Row], r"Model\.field: Merge\.add"),
    ],
)
def test_marks_of_nested_classes_are_checked_with_the_session(annotation: Any, owner: str) -> None:
    with pytest.raises(SchemaError, match=owner):
        create_model("Model", __base__=SessionModel, field=(annotation, ...))


@pytest.mark.parametrize(
    ("annotation", "owner"),
    [
        (list[Counted], r"Model\.field: Counted has"),
        (dict[str, tuple[Counted | int, ...]], r"Model\.field: Counted has"),
        (list[Strict], r"Model\.field: Strict has"),
        (Annotated[Counted | None, Merge.later], r"Model\.field: Counted has"),
        (Thread, r"Thread\.replies: Thread has"),
    ],
)
def test_marks_of_a_class_that_would_not_count_where_it_stands_are_refused(annotation: Any, owner: str) -> None:
    with pytest.raises(SchemaError, match=owner):
        create_model("Model", __base__=SessionModel, field=(annotation, ...))


@pytest.mark.parametrize(
    "annotation", [ByName[Count], ByName[Counted], Counted | None, dict[str, Counted], Counted | Nested, Strict, Forum]
)
def test_marks_of_a_class_count_in_fields_and_in_the_values_of_dicts(annotation: Any) -> None:
    merger = Merger(create_model("Model", __base__=SessionModel, field=(annotation, ...)))

    assert merger.marked == {"field"}


def test_the_marks_of_a_generic_class_are_checked_once_its_types_are_known() -> None:
    class Box(SessionModel, Generic[T]):
        content: Annotated[T, Merge.add]

    Merger(Box[int])
    with pytest.raises(SchemaError, match=r"content: Merge\.add"):
        Box[str]


async def test_the_marks_of_a_type_that_is_defined_later_are_checked_with_the_first_repository() -> None:
    class Waiting(SessionModel):
        later: Annotated[DefinedLater, Merge.add]  # type: ignore[name-defined]  # noqa: F821 - so far

    async with NdbClient.connect("memory://") as client:
        globals()["DefinedLater"] = str
        with pytest.raises(SchemaError, match=r"later: Merge\.add"):
            Repository(client, Waiting)


@pytest.mark.parametrize("given", [Merge.add, Merge.max, Merge.min, Merge, "conflict", None])
def test_a_class_keyword_is_one_that_fits_all_types(given: Any) -> None:
    with pytest.raises(SchemaError, match=r"merge= is Merge\.structure, Merge\.later or Merge\.conflict"):

        class Model(SessionModel, merge=given):
            pass


def test_a_subclass_may_mark_a_field_anew() -> None:
    class Base(SessionModel):
        number: Annotated[int, Merge.add] = 0

    class Lower(Base):
        number: Annotated[int, Merge.min] = 0

    base, mine, theirs = (Lower(number=number) for number in (5, 3, 4))
    assert Merger(Lower).merge(base, mine, theirs, ["number"]) == {"number": 3}
