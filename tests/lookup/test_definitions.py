"""Which fields can be looked up."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, NewType, get_args

import pytest
from pydantic import Field, Secret, SecretBytes, SecretStr, create_model

from ndb_models import InvalidArgumentError, Lookup, NdbClient, Repository, SchemaError, SessionModel
from ndb_models.schema.lookup import lookups_of

UserId = NewType("UserId", int)
Marked = NewType("Marked", Annotated[int, Lookup()])


def declare(annotation: Any, name: str = "field", default: Any = ...) -> type[SessionModel]:
    fields: dict[str, Any] = {name: (annotation, default)}
    declared: type[SessionModel] = create_model("Declared", __base__=SessionModel, **fields)
    return declared


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (Annotated[float, Lookup()], "a float is not found by its value"),
        (Annotated[list[float | None], Lookup()], "a float is not found by its value"),
        (Annotated[set[int], Lookup()], "a set is not found by its value"),
        (Annotated[dict[str, frozenset[str]], Lookup()], "a set is not found by its value"),
        (Annotated[SecretStr, Lookup()], "a secret cannot be looked up"),
        (Annotated[SecretBytes | None, Lookup()], "a secret cannot be looked up"),
        (Annotated[Secret[int], Lookup()], "a secret cannot be looked up"),
        (Annotated[int, Lookup], r"write Lookup\(\), with parentheses"),
        (list[Annotated[int, Lookup]], r"write Lookup\(\), with parentheses"),
        (list[Annotated[int, Lookup()]], "marks a whole field"),
        (Annotated[int, Lookup()] | None, "marks a whole field"),
        (Marked, "marks a whole field"),
        (Annotated[Annotated[int, Lookup()], Lookup(unique=True)], "twice"),
        (Annotated[int, Lookup(), Field(exclude=True, default=1)], "it is excluded"),
    ],
)
def test_what_cannot_be_looked_up_is_refused_where_it_is_declared(annotation: Any, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem) as caught:
        declare(annotation, default=1 if "exclude" in str(annotation) else ...)
    assert (caught.value.model, caught.value.field) == ("Declared", "field")


@pytest.mark.parametrize(
    ("name", "verbs"),
    [("but", "end_all_for"), ("extend", "find and find_one"), ("limit", "find"), ("order", "find")],
)
def test_a_name_that_is_an_argument_is_refused(name: str, verbs: str) -> None:
    with pytest.raises(SchemaError, match=f"an argument of {verbs}"):
        declare(Annotated[int, Lookup()], name=name)


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[int, Lookup()],
        Annotated[UserId | None, Lookup(unique=True)],
        Annotated[Decimal, Field(gt=0), Lookup()],
        Annotated[dict[str, list[int]], Lookup()],
    ],
)
def test_what_can_be_looked_up_is_declared_beside_whatever_else(annotation: Any) -> None:
    (marked,) = [mark for mark in get_args(annotation) if isinstance(mark, Lookup)]
    assert lookups_of(declare(annotation)) == {"field": marked}


def test_lookups_are_inherited_and_can_be_dropped() -> None:
    class Base(SessionModel):
        user_id: Annotated[int, Lookup()]
        email: Annotated[str, Lookup(unique=True)]

    class Derived(Base):
        user_id: int
        device: Annotated[str, Lookup()] = ""

    assert lookups_of(Derived) == {"email": Lookup(unique=True), "device": Lookup()}


class Later(SessionModel):
    field: Annotated[list[Defined], Lookup()]  # type: ignore[name-defined]  # noqa: F821 - defined below, or not at all


async def test_a_type_that_is_defined_later_is_looked_at_then(
    client: NdbClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "Defined", float)
    with pytest.raises(SchemaError, match="a float is not found"):
        Repository(client, Later)


@pytest.mark.parametrize("unique", [None, "yes", []])
def test_unique_is_true_or_false(unique: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="True or False"):
        Lookup(unique=unique)
