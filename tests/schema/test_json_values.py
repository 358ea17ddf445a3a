"""The JSON types of this package are types of fields, as Pydantic's own is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from ndb_models import ConfigRepository, JsonInput, JsonValue, NdbClient, Repository, SessionModel, SessionToken
from ndb_models.schema_check.comparing import compare
from ndb_models.schema_check.freezing import frozen_of, read_frozen, written


class Nested(BaseModel):
    inner: JsonValue = None


class Document(SessionModel, schema="json-document"):
    value: JsonValue
    items: list[JsonValue] = []
    members: dict[str, JsonValue] = {}
    optional: JsonValue | None = None
    written: JsonInput = None
    owner: SessionToken = 0
    nested: Nested = Nested()


class Settings(BaseModel):
    value: JsonValue = None


VALUES: list[Any] = [None, True, 1, 2.5, "text", [], {}, [1, [None, {"a": [False]}]], {"a": {"b": [1.5, "c"]}}]


@pytest.mark.parametrize("value", VALUES)
async def test_a_json_value_comes_back_as_it_was_saved(client: NdbClient, value: Any) -> None:
    repo = Repository(client, Document)
    document = Document(
        value=value, items=[value], members={"a": value}, optional=value, written=value, nested=Nested(inner=value)
    )
    saved = await repo.save(document)
    assert await repo.get(saved.tkn) == saved
    async with repo.edit(saved.tkn) as edited:
        edited.items.append(value)
    assert (await repo.get(saved.tkn)).items == [value, value]


async def test_a_configuration_holds_json_values(client: NdbClient) -> None:
    config = ConfigRepository(client, Settings)
    await config.save(Settings(value={"a": [1, None]}))
    assert (await config.load()).value == {"a": [1, None]}


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        Document(value=value)
    with pytest.raises(ValidationError):
        Document(value=None, written=value)


def test_the_json_types_are_types_of_any_model() -> None:
    assert TypeAdapter(JsonValue).validate_python([1, {"a": None}]) == [1, {"a": None}]
    read: JsonInput = TypeAdapter[JsonInput](JsonInput).validate_json('[1, {"a": null}]')
    assert read == [1, {"a": None}]


def test_a_class_with_json_values_is_frozen() -> None:
    frozen = written(frozen_of(Document))
    filed = read_frozen(frozen.encode())
    assert written(filed) == frozen
    assert compare(filed.json_schema, frozen_of(Document).json_schema) == []
