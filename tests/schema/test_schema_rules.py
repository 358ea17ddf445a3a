"""Rules about schemas and lifetimes that need no store: what they answer for the rarer shapes."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypeAliasType

from ndb_models import Expiry, NdbClient, Repository, SessionModel
from ndb_models.errors import SchemaError
from ndb_models.schema.envelope import Envelope
from ndb_models.schema.json_schema import overlap, resolved
from ndb_models.schema.lifetime import Lifetime, carried_over, expiry_of
from ndb_models.schema.tracking import tracking_carried_over

T = TypeVar("T")
Tree = TypeAliasType("Tree", "dict[str, Tree] | list[Tree] | int")
Leaf = TypeAliasType("Leaf", list[int])
Pair = TypeAliasType("Pair", "tuple[Leaf, Leaf]")


class Box(SessionModel, Generic[T]):
    content: T


def test_a_schema_inside_of_a_single_all_of_is_that_schema() -> None:
    root = {"$defs": {"Name": {"type": "string"}}}
    assert resolved({"allOf": [{"$ref": "#/$defs/Name"}]}, root) == {"type": "string"}
    described = {"allOf": [{"type": "string"}], "minLength": 3}
    assert resolved(described, root) == described


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ({"enum": ["a", "b"]}, {"enum": ["b", "c"]}, True),
        ({"enum": ["a"]}, {"enum": ["b"]}, False),
        ({"enum": ["a"]}, {"const": "a"}, True),
        ({"enum": ["a"]}, {"type": "integer"}, False),
        ({"enum": ["a"]}, {"type": "string"}, True),
    ],
)
def test_listed_values_overlap_if_they_share_one(one: dict[str, Any], other: dict[str, Any], both: bool) -> None:
    assert overlap(one, other, None) is both
    assert overlap(other, one, None) is both


def test_a_session_without_an_end_that_is_rotated_gets_that_of_its_class() -> None:
    envelope = Envelope(schema="s", version=1, tkn=7)
    lifetime = carried_over(envelope, None, Expiry(absolute=60), 1_000_000)
    assert lifetime.deadline == 1_060_000
    assert carried_over(envelope, None, Expiry(idle=60), 1_000_000) == Lifetime(Expiry(idle=60))


def test_a_session_of_which_nothing_is_known_has_no_expiry() -> None:
    assert expiry_of(None, None) is None


def test_a_session_without_our_key_is_tracked_from_its_new_token_on() -> None:
    records = tracking_carried_over(None, 5000.5, logs_in=True)
    assert (records.created, records.used, records.authenticated) == (None, 5000, 5000)
    assert records.public_id
    assert tracking_carried_over(None, 5000, logs_in=False).authenticated is None


def test_a_generic_class_of_a_type_that_refers_to_itself_has_one_name() -> None:
    """Its name must not depend on how often it was asked for, or the stored sessions would be lost."""
    names = {Box[Tree].session_options.schema for _ in range(2)}
    assert len(names) == 1
    assert names.isdisjoint({Box[Leaf].session_options.schema, Box[Pair].session_options.schema})


async def test_a_view_with_a_function_is_refused_though_its_bounds_are_named_as_pydantics(client: NdbClient) -> None:
    """Pydantic checks the length of some types by a function that has its bounds as keywords. This is none of those."""

    def odd(value: str, min_length: int) -> str:
        assert len(value) % 2 == min_length % 2
        return value

    class Named(SessionModel, schema="rules.named"):
        name: Annotated[str, Field(min_length=3)]

    class View(BaseModel):
        name: Annotated[str, AfterValidator(partial(odd, min_length=1))]

    saved = await Repository(client, Named).save(Named(name="abc"))
    with pytest.raises(SchemaError, match="name"):
        await Repository(client, Named).project(saved.tkn, View)


async def test_numbers_with_thousands_of_digits_are_changed_as_others_are(client: NdbClient) -> None:
    class Large(SessionModel, schema="rules.large"):
        number: int = 0
        note: str = ""

    repo = Repository(client, Large)
    saved = await repo.save(Large())
    saved.number = 10**4200
    saved.note = "x" * 9000
    await repo.save(saved)
    assert (await repo.get(saved.tkn)).number == 10**4200
