"""Which changes of a model are breaking, and which are compatible: a table, and any pair of simple models."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, ValidationError
from typing_extensions import TypedDict

from ndb_models import InvalidArgumentError, SessionModel
from ndb_models.schema_check.comparing import Difference
from ndb_models.schema_check.freezing import Frozen, Outcome, file_name, frozen_of, judge, read_frozen, written
from tests.zoo import ZOO

REQUIRED: Any = ...


def declare(_fields: dict[str, Any], **keywords: Any) -> type[SessionModel]:
    """Return a session model with these fields: a type, which is required, or a type and its default."""
    annotations = {name: each[0] if type(each) is tuple else each for name, each in _fields.items()}
    defaults = {name: each[1] for name, each in _fields.items() if type(each) is tuple and each[1] is not REQUIRED}
    metaclass: Any = type(SessionModel)
    model: type[SessionModel] = metaclass(
        "Session", (SessionModel,), {"__annotations__": annotations, "__module__": __name__, **defaults}, **keywords
    )
    return model


def differences(old: type[SessionModel], new: type[SessionModel]) -> list[Difference]:
    return judge(frozen_of(old), frozen_of(new)).differences


def outcome(old: type[SessionModel], new: type[SessionModel]) -> str:
    return judge(frozen_of(old), frozen_of(new)).outcome.value


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class MoreColours(Enum):
    BLUE = "blue"
    RED = "red"
    GREEN = "green"


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


class Bare(BaseModel, extra="forbid"):
    pass


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class ShyDog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class TextTree(BaseModel):
    value: str
    children: list[TextTree] = []


class Point(NamedTuple):
    x: int
    y: int


class Address(TypedDict):
    street: str


class WiderAddress(TypedDict):
    street: str | None


Pet: TypeAlias = Annotated[Cat | Dog, Field(discriminator="kind")]
PetToo: TypeAlias = Annotated[Dog | Cat, Field(discriminator="kind")]
ShyPet: TypeAlias = Annotated[Cat | ShyDog, Field(discriminator="kind")]

COMPATIBLE: dict[str, tuple[Any, Any]] = {
    "int -> float": (int, float),
    "int -> optional": (int, int | None),
    "optional -> a wider optional": (int | None, int | str | None),
    "str -> str or int": (str, str | int),
    "anything goes": (int, Any),
    "datetime -> str": (datetime, str),
    "str -> secret": (str, SecretStr),
    "secret -> str": (SecretStr, str),
    "a literal more": (Literal["a"], Literal["a", "b"]),
    "literals in another order": (Literal["a", "b"], Literal["b", "a"]),
    "literal -> str": (Literal["a", "b"], str),
    "literal -> int": (Literal[1], int),
    "an enum's value more": (Colour, MoreColours),
    "enum -> str": (Colour, str),
    "a lower bound is lower": (Annotated[int, Field(ge=5)], Annotated[int, Field(ge=4)]),
    "a lower bound is included": (Annotated[int, Field(gt=5)], Annotated[int, Field(ge=5)]),
    "an upper bound is gone": (Annotated[int, Field(lt=5)], int),
    "a length is longer": (Annotated[str, Field(max_length=5)], Annotated[str, Field(max_length=6)]),
    "a pattern is gone": (Annotated[str, Field(pattern="^a")], str),
    "a multiple is a divisor": (Annotated[int, Field(multiple_of=6)], Annotated[int, Field(multiple_of=3)]),
    "set -> list": (set[int], list[int]),
    "tuple -> list": (tuple[int, int], list[int]),
    "tuple of any length -> list": (tuple[int, ...], list[float]),
    "list of a wider type": (list[int], list[int | None]),
    "dict of a wider type": (dict[str, int], dict[str, float]),
    "model -> dict": (Item, dict[str, str]),
    "a field of a typed dict": (Address, WiderAddress),
    "a nested field with a default": (Item, ItemWithCount),
    "a nested field less": (ItemWithCount, Item),
    "a nested field less, taken as an extra": (ItemWithCount, ItemThatTakes),
    "nested in a list": (list[Item], list[ItemWithCount]),
    "a discriminated union in another order": (Pet, PetToo),
    "a model of a discriminated union changes": (list[ShyPet], list[Pet]),
}

BREAKING: dict[str, tuple[Any, Any]] = {
    "int -> str": (int, str),
    "float -> int": (float, int),
    "bool -> int": (bool, int),
    "optional -> required": (int | None, int),
    "str -> datetime": (str, datetime),
    "datetime -> date": (datetime, date),
    "bytes -> str": (bytes, str),
    "anything -> int": (Any, int),
    "a literal less": (Literal["a", "b"], Literal["a"]),
    "str -> literal": (str, Literal["a"]),
    "an enum's value less": (MoreColours, Colour),
    "literal -> int of another type": (Literal["a"], int),
    "literal -> bounded": (Literal[1], Annotated[int, Field(ge=2)]),
    "a lower bound is higher": (Annotated[int, Field(ge=4)], Annotated[int, Field(ge=5)]),
    "a lower bound is excluded": (Annotated[int, Field(ge=5)], Annotated[int, Field(gt=5)]),
    "an upper bound comes": (int, Annotated[int, Field(lt=5)]),
    "a length is shorter": (Annotated[str, Field(max_length=5)], Annotated[str, Field(max_length=4)]),
    "a pattern comes": (str, Annotated[str, Field(pattern="^a")]),
    "a pattern changes": (Annotated[str, Field(pattern="^a")], Annotated[str, Field(pattern="^b")]),
    "a multiple comes": (int, Annotated[int, Field(multiple_of=3)]),
    "a decimal's bound": (Decimal, Annotated[Decimal, Field(ge=1)]),
    "a date's bound": (date, Annotated[date, Field(ge=date(2026, 1, 1))]),
    "a time's bound": (timedelta, Annotated[timedelta, Field(gt=timedelta(0))]),
    "list -> set": (list[int], set[int]),
    "list -> tuple": (list[int], tuple[int, int]),
    "a tuple is longer": (tuple[int, int], tuple[int, int, int]),
    "a tuple is shorter": (tuple[int, int], tuple[int]),
    "a tuple's item": (Point, tuple[int, str]),
    "list of a narrower type": (list[int | None], list[int]),
    "dict of a narrower type": (dict[str, float], dict[str, int]),
    "dict -> model": (dict[str, int], Item),
    "a nested field without a default": (Item, ItemThatNeedsCount),
    "a nested default less": (ItemWithCount, ItemThatNeedsCount),
    "a nested field less, and others refused": (Item, Bare),
    "nested, others are refused": (Item, ItemThatForbids),
    "nested, others are dropped": (ItemThatTakes, Item),
    "nested in a dict": (dict[str, Item], dict[str, ItemThatNeedsCount]),
    "recursive": (Tree, TextTree),
    "an alternative less": (int | str, int),
    "another of the same type": (str, str | datetime),
    "alternatives of the same type change places": (str | datetime, datetime | str),
    "a discriminated alternative less": (Pet, Cat),
    "a discriminated alternative changes": (Pet, ShyPet),
    "a model becomes discriminated": (Cat, Pet),
    "a union becomes discriminated": (Cat | Dog, Pet),
}


@pytest.mark.parametrize("change", COMPATIBLE)
def test_what_is_wider_is_compatible(change: str) -> None:
    old, new = (declare({"field": each}) for each in COMPATIBLE[change])
    assert outcome(old, new) in ("compatible", "unchanged"), differences(old, new)


@pytest.mark.parametrize("change", BREAKING)
def test_what_is_narrower_is_breaking_and_says_where(change: str) -> None:
    old, new = (declare({"field": each}) for each in BREAKING[change])
    assert outcome(old, new) == "breaking"
    assert all(each.place.startswith("field") for each in differences(old, new))


@pytest.mark.parametrize("annotation", {repr(pair[0]): pair[0] for pair in (*COMPATIBLE.values(), *BREAKING.values())})
def test_what_has_not_changed_is_unchanged(annotation: str) -> None:
    annotations = {repr(pair[0]): pair[0] for pair in (*COMPATIBLE.values(), *BREAKING.values())}
    assert differences(*(declare({"field": annotations[annotation]}) for _ in range(2))) == []


@pytest.mark.parametrize("model", dict.fromkeys(model for model, *_ in ZOO), ids=lambda model: model.__name__)
def test_every_model_that_can_be_stored_can_be_frozen_and_is_unchanged_then(model: type[SessionModel]) -> None:
    text = written(frozen_of(model))
    assert written(frozen_of(model)) == text
    frozen = read_frozen(text.encode())
    assert judge(frozen, frozen_of(model, frozen)).outcome is Outcome.SAME


# The fields of the session itself


def test_a_new_field_with_a_default_is_compatible() -> None:
    old, new = declare({"name": str}), declare({"name": str, "theme": (str, "dark")})
    assert differences(old, new) == [Difference("theme", False, "is new and has a default")]


def test_a_new_field_without_a_default_is_breaking() -> None:
    old, new = declare({"name": str}), declare({"name": str, "theme": str})
    ((place, breaking, reason),) = differences(old, new)
    assert (place, breaking) == ("theme", True)
    assert "no default" in reason


@pytest.mark.parametrize("extra", ["ignore", "forbid"])
def test_a_field_that_is_gone_is_compatible(extra: str) -> None:
    assert outcome(declare({"name": str, "theme": str}), declare({"name": str}, extra=extra)) == "compatible"


def test_a_field_that_is_renamed_is_breaking() -> None:
    found = differences(declare({"name": str}), declare({"username": str}))
    assert [(each.place, each.breaking) for each in found] == [("name", False), ("username", True)]


def test_a_default_that_is_gone_is_breaking_and_one_that_comes_is_not() -> None:
    required, optional = declare({"name": str}), declare({"name": (str, "")})
    assert outcome(optional, required) == "breaking"
    assert outcome(required, optional) == "compatible"


def test_titles_descriptions_defaults_and_aliases_make_no_difference() -> None:
    plain = declare({"name": (str, "a")})
    said = declare({"name": (str, Field("b", title="T", description="D", examples=["e"], alias="n", deprecated=True))})
    assert differences(plain, said) == []


@pytest.mark.parametrize("extra", [{"example": 3}, {"x-ui": {"type": "slider"}}, {"examples": [1]}])
def test_notes_of_the_users_own_make_no_difference(extra: dict[str, Any]) -> None:
    class Noted(BaseModel):
        model_config = {"json_schema_extra": extra}
        name: str

    old = declare({"count": int, "item": Item}), declare({"count": int | None})
    noted = Annotated[int, Field(json_schema_extra=extra)]
    assert differences(old[0], declare({"count": noted, "item": Noted}, json_schema_extra=extra)) == []
    assert differences(old[1], declare({"count": noted | None})) == []
    assert written(frozen_of(old[1])) == written(frozen_of(declare({"count": noted | None})))


def test_a_field_called_like_a_keyword_is_a_field() -> None:
    old = declare({"title": str, "default": int, "properties": str, "enum": str})
    new = declare({"title": int, "default": int, "properties": str, "enum": str})
    assert [each.place for each in differences(old, new)] == ["title"]


def test_what_is_not_stored_does_not_count() -> None:
    old = declare({"name": str, "cache": (int, Field(0, exclude=True))})
    new = declare({"name": str, "cache": (str, Field("", exclude=True))})
    assert differences(old, new) == []
    assert differences(old, declare({"name": str})) == []


def test_a_model_that_takes_other_keys_no_longer_is_breaking() -> None:
    assert outcome(declare({"name": str}, extra="allow"), declare({"name": str})) == "breaking"
    assert outcome(declare({"name": str}), declare({"name": str}, extra="allow")) == "unchanged"


def test_a_new_field_may_meet_what_was_an_extra_before() -> None:
    assert outcome(declare({}, extra="allow"), declare({"theme": (str, "")}, extra="allow")) == "breaking"


def test_a_field_that_comes_back_as_another_is_breaking_however_often_it_was_frozen_without() -> None:
    frozen = frozen_of(declare({"theme": int, "name": str}))
    for _ in range(2):
        frozen = frozen_of(declare({"name": str}), frozen)
    again = declare({"name": str, "theme": (str, "")})
    verdict = judge(frozen, frozen_of(again, frozen))
    assert verdict.outcome is Outcome.BREAKING
    assert "there was such a field before" in str(verdict.differences)
    same = declare({"name": str, "theme": (float, 0)})
    assert judge(frozen, frozen_of(same, frozen)).outcome is Outcome.COMPATIBLE


def test_a_nested_field_that_comes_back_is_compared_by_its_own_definitions() -> None:
    frozen = frozen_of(declare({"name": str}), frozen_of(declare({"name": str, "item": Item})))
    assert judge(frozen, frozen_of(declare({"name": str, "item": (Item | None, None)}))).outcome is Outcome.COMPATIBLE
    worse = frozen_of(declare({"name": str, "item": (ItemThatNeedsCount | None, None)}))
    assert judge(frozen, worse).outcome is Outcome.BREAKING


class BackAsList(BaseModel):
    name: str
    count: list[str] = []


class BackAsFloat(BaseModel):
    name: str
    count: float = 0


@pytest.mark.parametrize(
    ("first", "without", "worse", "wider"),
    [
        (ItemWithCount, Item, BackAsList, BackAsFloat),
        (list[ItemWithCount], list[Item], list[BackAsList], list[BackAsFloat]),
        (dict[str, ItemWithCount | None], dict[str, Item], dict[str, BackAsList], dict[str, BackAsFloat | None]),
    ],
)
def test_a_field_of_a_nested_model_that_comes_back_as_another_is_breaking(
    first: Any, without: Any, worse: Any, wider: Any
) -> None:
    frozen = frozen_of(declare({"field": first}))
    for _ in range(2):
        frozen = frozen_of(declare({"field": without}), frozen)
    verdict = judge(frozen, frozen_of(declare({"field": worse}), frozen))
    assert verdict.outcome is Outcome.BREAKING
    assert "there was such a field before" in str(verdict.differences)
    assert verdict.differences[-1].place.endswith(".count")
    again = frozen_of(declare({"field": wider}), frozen)
    assert not [each for each in judge(frozen, again).differences if "before" in each.reason]
    assert again.removed == {}


def test_a_field_of_a_nested_model_is_remembered_while_that_model_is_gone() -> None:
    frozen = frozen_of(declare({"field": (ItemWithCount, ...)}))
    for fields in ({"field": Item}, {}, {"name": (str, "")}):
        frozen = frozen_of(declare(fields), frozen)
    again = frozen_of(declare({"field": (BackAsList | None, None)}), frozen)
    assert judge(frozen, again).outcome is Outcome.BREAKING


def test_a_field_of_a_model_that_refers_to_itself_is_remembered() -> None:
    frozen = frozen_of(declare({"tree": BareNode}), frozen_of(declare({"tree": NumberNode})))
    assert list(frozen.removed) == ["tree.value"]
    assert judge(frozen, frozen_of(declare({"tree": TextNode}))).outcome is Outcome.BREAKING


class BareNode(BaseModel):
    inner: list[BareNode] = []


class NumberNode(BaseModel):
    value: int = 0
    inner: list[NumberNode] = []


class TextNode(BaseModel):
    value: str = ""
    inner: list[TextNode] = []


def test_a_higher_version_may_break_and_a_lower_one_may_not_come() -> None:
    old, new = declare({"name": str}), declare({"name": int}, version=2)
    assert outcome(old, new) == "upgraded"
    assert outcome(new, old) == "downgraded"


def test_a_model_that_refers_to_itself_is_frozen() -> None:
    class Node(SessionModel):
        value: int
        inner: list[Node] = []

    assert outcome(Node, Node) == "unchanged"


# Files


@pytest.mark.parametrize("schema", ["user", "../user", "a/b", "Page[int]", "é", "..", ".", "a b", "nul\x7f"])
def test_the_file_of_any_schema_stays_in_its_directory(schema: str) -> None:
    name = file_name(schema)
    assert "/" not in name
    assert name.endswith(".json")
    assert name not in (".", "..")


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"schema":"a","version":"1","json_schema":{}}', b"\xff"])
def test_what_is_no_frozen_schema_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="not the file of a frozen schema"):
        read_frozen(text)


def test_a_file_that_refers_to_nothing_is_refused() -> None:
    frozen = Frozen("a", 1, {"type": "object", "properties": {"field": {"$ref": "#/$defs/Gone"}}})
    with pytest.raises(InvalidArgumentError, match="'Gone', which it does not define"):
        judge(frozen, frozen_of(declare({"field": int})))


def test_a_file_that_defines_something_as_itself_is_refused() -> None:
    itself = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}
    with pytest.raises(InvalidArgumentError, match="defines 'A' as itself"):
        judge(Frozen("a", 1, itself), frozen_of(declare({"field": int})))


# Any pair of models: what is said to be compatible is


SCALARS: Any = st.sampled_from(
    [int, float, str, bool, None, Literal["a"], Literal["a", "b"], Literal[1, 2], Annotated[int, Field(ge=1)],
     Annotated[int, Field(ge=1, le=3)], Annotated[str, Field(max_length=2)], Item, ItemWithCount, ItemThatNeedsCount,
     ItemThatForbids, ItemThatTakes, Cat, Dog, Colour]
)  # fmt: skip


def _list(inner: Any) -> Any:
    return list[inner]


def _dict(inner: Any) -> Any:
    return dict[str, inner]


def _tuple(inner: Any) -> Any:
    return set[int] if inner is int else tuple[inner, ...]


def _pair(inners: tuple[Any, Any]) -> Any:
    return tuple.__class_getitem__(inners)


def _union(inners: tuple[Any, Any]) -> Any:
    return inners[0] | inners[1] if inners[0] and inners[1] else inners[0]


TYPES: Any = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        inner.map(_list),
        inner.map(_dict),
        inner.map(_tuple),
        st.tuples(inner, inner).map(_union),
        st.tuples(inner, inner).map(_pair),
        inner.map(lambda each: each | None if each is not None else None),
    ),
    max_leaves=3,
)
VALUES: Any = st.recursive(
    st.sampled_from([0, 1, 2, 5, -1, 0.5, "", "a", "b", "abc", "red", True, False, None]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["name", "count", "kind", "lives", "x"]), inner, max_size=3),
    ),
    max_leaves=5,
)


@pytest.mark.slow
@pytest.mark.unmeasured
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TYPES, TYPES, st.lists(VALUES, min_size=5, max_size=12))
def test_what_is_said_to_be_compatible_loads(before: Any, after: Any, values: list[Any]) -> None:
    old, new = declare({"field": before}), declare({"field": after})
    if outcome(old, new) == "breaking":
        return
    for value in values:
        try:
            stored = old.model_validate({"field": value}, strict=False).model_dump_json()
        except ValidationError:
            continue
        new.model_validate_json(stored)
