"""Old code and new code at once: what a check says of a change is what each does with what the other wrote."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired

import pytest
from pydantic import BaseModel, Field, SecretStr
from pydantic_core import MISSING
from typing_extensions import TypedDict

from ndb_models import NdbClient, Repository, SessionModel, StoredDataError
from ndb_models.schema_check.freezing import Verdict, frozen_of, judge
from tests.schema.test_comparing import declare

Given = tuple[dict[str, Any], dict[str, Any]]
"""The fields of a class, and the values of a model of it."""


class Colour(Enum):
    RED = "red"


class MoreColours(Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    name: str


class ItemWithCount(BaseModel):
    name: str
    count: int = 1


class ItemThatNeedsCount(BaseModel):
    name: str
    count: int


class ItemThatForbids(BaseModel, extra="forbid"):
    name: str


class ItemThatTakes(BaseModel, extra="allow"):
    name: str


class Bare(BaseModel):
    pass


class Address(TypedDict):
    street: str


class LooseAddress(TypedDict):
    street: NotRequired[str]


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


Pets = Annotated[Cat | Dog, Field(discriminator="kind")]


def field(annotation: Any, value: Any) -> Given:
    return {"field": annotation}, {"field": value}


# What the old code stores, what the new code stores, and which of the two breaks.
LeftOut = Annotated[int, Field(exclude_if=lambda value: value == 0)]

CHANGES: dict[str, tuple[Given, Given, bool, bool]] = {
    "nothing": (field(int, 1), field(int, 1), False, False),
    "a wider literal": (field(Literal["a"], "a"), field(Literal["a", "b"], "b"), False, True),
    "a narrower literal": (field(Literal["a", "b"], "b"), field(Literal["a"], "a"), True, False),
    "a literal becomes text": (field(Literal["a"], "a"), field(str, "b"), False, True),
    "text becomes a literal": (field(str, "b"), field(Literal["a"], "a"), True, False),
    "a value more in an enum": (field(Colour, Colour.RED), field(MoreColours, MoreColours.BLUE), False, True),
    "optional": (field(int, 1), field(int | None, None), False, True),
    "no longer optional": (field(int | None, None), field(int, 1), True, False),
    "an alternative more": (field(int, 1), field(int | str, "a"), False, True),
    "an alternative less": (field(int | str, "a"), field(int, 1), True, False),
    "an int becomes a float": (field(int, 1), field(float, 1.5), False, True),
    "a float becomes an int": (field(float, 1.5), field(int, 1), True, False),
    "another type": (field(int, 1), field(list[int], [1]), True, True),
    "a looser bound": (field(Annotated[int, Field(ge=5)], 5), field(Annotated[int, Field(ge=0)], 0), False, True),
    "a stricter bound": (field(Annotated[int, Field(ge=0)], 0), field(Annotated[int, Field(ge=5)], 5), True, False),
    "no bound": (field(Annotated[int, Field(le=5)], 5), field(int, 6), False, True),
    "a longer text": (
        field(Annotated[str, Field(max_length=1)], "a"),
        field(Annotated[str, Field(max_length=2)], "ab"),
        False,
        True,
    ),
    "a shorter text": (field(str, "ab"), field(Annotated[str, Field(max_length=1)], "a"), True, False),
    "a pattern is gone": (field(Annotated[str, Field(pattern="^a")], "a"), field(str, "b"), False, True),
    "a list becomes longer": (
        field(Annotated[list[int], Field(max_length=1)], [1]),
        field(list[int], [1, 2]),
        False,
        True,
    ),
    "elements of more types": (field(list[int], [1]), field(list[int | None], [None]), False, True),
    "values of more types": (field(dict[str, int], {"a": 1}), field(dict[str, int | None], {"a": None}), False, True),
    "anything": (field(int, 1), field(Any, "a"), False, True),
    "a moment becomes text": (field(datetime, datetime(2026, 1, 1)), field(str, "a"), False, True),
    "text becomes secret": (field(str, "a"), field(SecretStr, SecretStr("a")), False, False),
    "a required field is dropped": (
        ({"field": int, "other": int}, {"field": 1, "other": 1}),
        field(int, 1),
        False,
        True,
    ),
    "a field with a default is dropped": (
        ({"field": int, "other": (int, 1)}, {"field": 1, "other": 2}),
        field(int, 1),
        False,
        False,
    ),
    "a field is added": (field(int, 1), ({"field": int, "other": int}, {"field": 1, "other": 1}), True, False),
    "a field with a default is added": (
        field(int, 1),
        ({"field": int, "other": (int, 0)}, {"field": 1, "other": 1}),
        False,
        False,
    ),
    "a field is renamed": (({"old": int}, {"old": 1}), ({"new": int}, {"new": 1}), True, True),
    "a field gets a default": (field(int, 1), ({"field": (int, 0)}, {"field": 0}), False, False),
    "a field loses its default": (({"field": (int, 0)}, {}), field(int, 1), True, False),
    "a nested field is added": (
        field(Item, Item(name="a")),
        field(ItemThatNeedsCount, ItemThatNeedsCount(name="a", count=1)),
        True,
        False,
    ),
    "a nested field with a default is added": (
        field(Item, Item(name="a")),
        field(ItemWithCount, ItemWithCount(name="a")),
        False,
        False,
    ),
    "a nested field gets a default": (
        field(ItemThatNeedsCount, ItemThatNeedsCount(name="a", count=1)),
        field(ItemWithCount, ItemWithCount(name="a")),
        False,
        False,
    ),
    "a nested field is dropped": (field(Item, Item(name="a")), field(Bare, Bare()), False, True),
    "a nested field is added where others are refused": (
        field(ItemThatForbids, ItemThatForbids(name="a")),
        field(ItemWithCount, ItemWithCount(name="a")),
        False,
        True,
    ),
    "a nested model takes others": (
        field(ItemThatForbids, ItemThatForbids(name="a")),
        field(ItemThatTakes, ItemThatTakes.model_validate({"name": "a", "more": 1})),
        False,
        True,
    ),
    "a model more": (field(Cat, Cat()), field(Pets, Dog()), True, True),
    "a name that may be left out": (field(Address, {"street": "s"}), field(LooseAddress, {}), False, True),
    "a value is left out": (field(int, 1), ({"field": (LeftOut, 0)}, {"field": 0}), False, True),
    "a value is left out by old code too": (
        ({"field": (LeftOut, 0)}, {"field": 0}),
        ({"field": (LeftOut, 0)}, {"field": 0}),
        False,
        False,
    ),
    "a value is missing": (field(int, 1), ({"field": (int | MISSING, MISSING)}, {}), False, True),
    "more digits": (
        field(Annotated[Decimal, Field(max_digits=2)], Decimal("1.5")),
        field(Decimal, Decimal("12.55")),
        False,
        True,
    ),
}
# What a check cannot tell from a change that breaks: a field is only missing where it was stored before there was one.
UNSEEN = {"a field loses its default", "a model more"}


def verdict(old: type[SessionModel], new: type[SessionModel]) -> Verdict:
    return judge(frozen_of(old), frozen_of(new))


async def reads(client: NdbClient, written: Any, values: dict[str, Any], reader: Any) -> bool:
    writer: Repository[SessionModel] = Repository(client, written)
    tkn = (await writer.save(written(**values))).tkn
    try:
        await Repository(client, reader).get(tkn)
    except StoredDataError:
        return False
    return True


@pytest.mark.parametrize("change", CHANGES)
async def test_a_check_says_which_of_the_two_breaks_and_is_right(client: NdbClient, change: str) -> None:
    (old_fields, old_values), (new_fields, new_values), breaks_new, breaks_old = CHANGES[change]
    old, new = declare(old_fields), declare(new_fields)
    found = verdict(old, new)
    assert any(each.breaking for each in found.differences) is breaks_new, found
    assert bool(found.for_old_code) is breaks_old, found
    if change not in UNSEEN:
        assert await reads(client, old, old_values, new) is not breaks_new
    assert await reads(client, new, new_values, old) is not breaks_old


def test_what_breaks_old_code_is_said_in_its_own_words() -> None:
    said = {
        f"{each.place} {each.reason}"
        for change in ("a wider literal", "optional", "a required field is dropped", "a looser bound")
        for each in verdict(declare(CHANGES[change][0][0]), declare(CHANGES[change][1][0])).for_old_code
    }
    assert said == {
        'field old code does not take "b"',
        "field old code does not take null",
        "other is required by old code, and no longer written",
        "field the least value is more strict in old code",
    }


def test_a_new_version_is_refused_by_old_code_by_name_whatever_has_changed() -> None:
    found = verdict(declare({"field": int}), declare({"field": int | None}, version=2))
    assert (found.outcome.value, found.for_old_code) == ("upgraded", [])
