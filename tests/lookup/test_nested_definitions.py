"""What a looked-up field holds inside of models, dataclasses and the like is looked at as the field itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import pydantic.dataclasses
import pytest
from pydantic import BaseModel, Field, RootModel, SecretStr, create_model
from typing_extensions import TypedDict

from ndb_models import InvalidArgumentError, Lookup, NdbClient, Repository, SchemaError, SessionModel
from ndb_models.schema.lookup import lookups_of
from tests.lookup.models import Login
from tests.lookup.truth import Scene


class Place(BaseModel):
    name: str
    inside: list[Place] = []


class Weighed(BaseModel):
    weight: float


class Deep(BaseModel):
    parts: dict[str, list[Weighed]]


class Tagged(BaseModel):
    tags: frozenset[str]


class Credentials(BaseModel):
    password: SecretStr


class Anything(BaseModel):
    what: Any


class Roots(RootModel[set[int]]):
    pass


class Hidden(BaseModel):
    name: str
    weight: float = Field(default=1.0, exclude=True)


@dataclass
class Measured:
    length: float | None = None
    parts: list[int] = field(default_factory=list)


@pydantic.dataclasses.dataclass
class Kept:
    secret: SecretStr


class Pair(NamedTuple):
    left: int
    right: float


class Row(TypedDict):
    tags: set[str]


class Owned(BaseModel):
    user_id: Annotated[int, Lookup()]


class Owners(BaseModel):
    of: list[Owned]


class Late(BaseModel):
    of: list[NotYet]  # type: ignore[name-defined]  # noqa: F821 - defined below, or not at all


def declare(annotation: Any, **given: Any) -> type[SessionModel]:
    fields: dict[str, Any] = {"field": (annotation, given.get("default", ...))}
    declared: type[SessionModel] = create_model("Declared", __base__=SessionModel, **fields)
    return declared


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Weighed, "a float is not found by its value"),
        (Deep, "a float is not found by its value"),
        (Measured, "a float is not found by its value"),
        (Pair, "a float is not found by its value"),
        (Tagged, "a set is not found by its value"),
        (Roots, "a set is not found by its value"),
        (Row, "a set is not found by its value"),
        (Credentials, "a secret cannot be looked up"),
        (Kept, "a secret cannot be looked up"),
        (Anything, "Any says nothing of what it holds"),
        (Any, "Any says nothing of what it holds"),
        (object, "Any says nothing of what it holds"),
        (dict, "Any says nothing of what it holds"),
        (list[Any], "Any says nothing of what it holds"),
    ],
)
def test_what_cannot_be_looked_up_is_refused_at_every_depth(kind: Any, problem: str) -> None:
    for annotation in (Annotated[kind, Lookup()], Annotated[list[kind] | None, Lookup(unique=True)]):
        with pytest.raises(SchemaError, match=problem) as caught:
            declare(annotation)
        assert caught.value.field == "field"
    declare(kind)


@pytest.mark.parametrize("kind", [Place, Hidden, list[Place]])
def test_models_that_can_be_looked_up_are(kind: Any) -> None:
    assert [*lookups_of(declare(Annotated[kind, Lookup()]))] == ["field"]


@pytest.mark.parametrize("kind", [Owned, list[Owned], Owners, dict[str, Owners]])
def test_a_mark_inside_of_a_nested_model_is_refused(kind: Any) -> None:
    with pytest.raises(SchemaError, match="inside of a nested model it marks nothing"):
        declare(kind)


def test_a_mark_is_inherited_from_any_model() -> None:
    class Session(SessionModel, Owned):
        pass

    assert "user_id" in Session.__pydantic_fields__


def test_a_session_inside_of_another_keeps_the_marks_of_its_own() -> None:
    assert not lookups_of(declare(Login))
    assert lookups_of(Login)


async def test_a_nested_type_that_is_defined_later_is_looked_at_then(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = declare(Annotated[Late, Lookup()])
    monkeypatch.setitem(globals(), "NotYet", float)
    with pytest.raises(SchemaError, match="a float is not found"):
        Repository(scene.client, later)


@pytest.mark.parametrize("default", [Lookup(), Lookup(unique=True), Lookup])
def test_a_mark_is_no_default(default: Any) -> None:
    with pytest.raises(SchemaError, match=r"write Annotated\[int, Lookup\(\)\]") as caught:
        declare(int, default=default)
    assert caught.value.field == "field"


def test_a_mark_is_no_type() -> None:
    mark: Any = Lookup()
    for annotation in (mark, "Lookup(unique=True)"):
        with pytest.raises(SchemaError, match=r"write Annotated\[int, Lookup\(\)\]") as caught:
            type("Declared", (SessionModel,), {"__annotations__": {"field": annotation}})
        assert caught.value.field == "field"


def test_a_mark_takes_its_argument_by_name() -> None:
    mark: Any = Lookup
    with pytest.raises(InvalidArgumentError, match=r"Lookup\(unique=True\)"):
        mark(True)
    assert repr(Lookup(unique=True)) == "Lookup(unique=True)"
    assert len({Lookup(), Lookup(unique=True), Lookup(unique=False)}) == 2


@pytest.mark.parametrize("verb", ["find", "find_one", "end_all_for"])
async def test_values_are_given_by_name(client: NdbClient, verb: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"by the names of their fields: {verb}\(email=\.\.\.\)"):
        await getattr(Repository(client, Login), verb)(7)


@pytest.mark.parametrize("tokens", [5, None, "5", b"5", Login()])
async def test_what_is_no_tokens_is_refused_before_anything_is_looked_at(client: NdbClient, tokens: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"several tokens: reindex\(\[tkn\]\)"):
        await Repository(client, Login).reindex(tokens)
