"""Fields that the writer leaves out: stored as absent where they read back as they were, else refused by name."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, PlainSerializer, PlainValidator, model_serializer
from pydantic_core import MISSING

from ndb_models import (
    ConfigRepository,
    InvalidArgumentError,
    Lookup,
    NdbClient,
    Repository,
    SessionModel,
    UnstorableError,
)


class WithMissing(SessionModel):
    a: int | MISSING = MISSING
    b: int = 0
    c: Any = MISSING


class WithExclusion(SessionModel):
    a: int | None = Field(default=None, exclude_if=lambda value: value is None)
    b: int = 0


class WithoutNone(SessionModel):
    a: int | None = None
    b: int | None = 0

    @model_serializer(mode="wrap")
    def _written(self, handler: Any) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class WithoutDefaults(SessionModel):
    a: int | None = None
    b: int = 0

    @model_serializer(mode="wrap")
    def _written(self, handler: Any) -> dict[str, Any]:
        defaults = {"a": None, "b": 0}
        return {name: value for name, value in handler(self).items() if value != defaults[name]}


class OpenWithout(SessionModel, extra="allow"):
    a: int | None = Field(default=None, exclude_if=lambda value: value is None)
    b: int = 0


class Required(SessionModel):
    a: int | None = Field(exclude_if=lambda value: value is None)
    b: int = 0


class Part(BaseModel):
    a: int | MISSING = MISSING
    b: int = 0


class WithPart(SessionModel):
    a: Part = Part()
    b: int = 0


class Found(SessionModel, schema="left-out-found"):
    a: Annotated[int | None, Lookup()] = Field(default=None, exclude_if=lambda value: value is None)
    b: int = 0
    c: Annotated[int | None, Lookup(unique=True)] = Field(default=None, exclude_if=lambda value: value is None)


LEAVING: list[tuple[type[SessionModel], Any]] = [
    (WithMissing, MISSING),
    (WithExclusion, None),
    (WithoutNone, None),
    (WithoutDefaults, None),
    (OpenWithout, None),
    (Found, None),
]


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(("model", "nothing"), LEAVING, ids=lambda each: getattr(each, "__name__", ""))
async def test_a_field_comes_and_goes(client: NdbClient, model: Any, nothing: Any) -> None:
    repo: Repository[Any] = Repository(client, model)
    session = await repo.save(model())
    assert "a" not in await repo.raw(session.tkn)

    async def saved(a: Any, b: int) -> None:
        read = await repo.get(session.tkn)
        assert (read.a, read.b) == (a, b)
        assert ("a" in await repo.raw(session.tkn)) == (a is not nothing)

    session.b = 1
    await repo.save(session)
    await saved(nothing, 1)
    session.a = 5
    await repo.save(session)
    await saved(5, 1)
    session.a, session.b = nothing, 2
    await repo.save(session)
    await saved(nothing, 2)
    await repo.update(session.tkn, a=7)
    await saved(7, 2)
    if nothing is None:
        await repo.update(session.tkn, a=None)
        await saved(nothing, 2)
    async with repo.edit(session.tkn) as edited:
        edited.a = 9
    await saved(9, 2)
    async with repo.edit(session.tkn) as edited:
        edited.a = nothing
    await saved(nothing, 2)
    await repo.rotate(session)
    await saved(nothing, 2)
    (again,) = await repo.get_many([session.tkn])
    assert again == await repo.get(session.tkn)


class Weight:
    """Cannot be compared."""

    def __init__(self, grams: int) -> None:
        self._grams = grams

    @staticmethod
    def given(weight: Any) -> Weight:
        return weight if isinstance(weight, Weight) else Weight(weight)

    def grams(self) -> int:
        return self._grams


class Weighed(SessionModel):
    a: Annotated[Any, PlainValidator(Weight.given), PlainSerializer(Weight.grams)] = Field(
        default_factory=lambda: Weight(0), exclude_if=lambda weight: weight.grams() == 0
    )
    b: int = 0


async def test_a_field_of_a_type_that_cannot_be_compared_comes_and_goes(client: NdbClient) -> None:
    repo = Repository(client, Weighed)
    session = await repo.save(Weighed())
    for grams in (0, 5, 0, 7):
        session.a, session.b = Weight(grams), grams + 1
        await repo.save(session)
        assert ("a" in await repo.raw(session.tkn)) == (grams > 0)
        session = await repo.get(session.tkn)
        assert (session.a.grams(), session.b) == (grams, grams + 1)
        assert not repo.unsaved(session)


async def test_a_view_shows_what_was_left_out_as_its_default(client: NdbClient) -> None:
    class View(BaseModel):
        a: int | None = None

    repo = Repository(client, WithExclusion)
    session = await repo.save(WithExclusion(b=1))
    assert await repo.project(session.tkn, View) == View(a=None)


async def test_what_a_nested_model_leaves_out_comes_back(client: NdbClient) -> None:
    repo = Repository(client, WithPart)
    session = await repo.save(WithPart(a=Part(b=1)))
    session.b = 1
    await repo.save(session)
    read = await repo.get(session.tkn)
    assert read.a.a is MISSING
    assert (read.a.b, read.b) == (1, 1)


async def test_a_field_that_is_looked_up_is_found_while_it_is_there(client: NdbClient) -> None:
    repo = Repository(client, Found)
    session = await repo.save(Found(a=1, c=3))
    other = await repo.save(Found())
    assert [each.tkn for each in await repo.find(a=1)] == [session.tkn]
    session.a = session.c = None
    await repo.save(session)
    assert await repo.find(a=1) == []
    assert await repo.find(c=3) == []
    other.c = 3
    await repo.save(other)
    assert [each.tkn for each in await repo.find(c=3)] == [other.tkn]
    with pytest.raises(InvalidArgumentError, match="left out"):
        await repo.find(a=None)  # type: ignore[ndb-value]  # the mistake


def _unchecked(model: Any, **values: Any) -> Any:
    return model.model_construct(**values)


def _without(model: Any) -> Any:
    del model.a
    return model


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (_unchecked(WithExclusion, a=MISSING), "a: .*would not come back as it is"),
        (Required(a=None), "a: it has no value, or is left out"),
        (_without(WithExclusion(a=1)), "a: it has no value, or is left out"),
        (_unchecked(WithMissing, a=1, b=MISSING, c=1), "b: it has no value, or is left out"),
        (WithoutNone(b=None), "b: it has no value, or is left out"),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_what_would_read_back_as_something_else_is_refused_by_name(
    client: NdbClient, model: Any, reason: str
) -> None:
    with pytest.raises(UnstorableError, match=reason):
        await Repository(client, type(model)).save(model)
    assert (await client.sh_info_all())["totalSessions"] == 0
    with pytest.raises(UnstorableError, match=reason):
        await ConfigRepository(client, type(model), namespace="app").save(model)


@pytest.mark.parametrize(
    ("model", "nothing"),
    [each for each in LEAVING if each[0] is not OpenWithout],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_a_configuration_has_no_key_for_what_is_left_out(client: NdbClient, model: Any, nothing: Any) -> None:
    config: ConfigRepository[Any] = ConfigRepository(client, model, namespace="app")
    await config.save(model(a=5))
    assert "app:a" in await client.kv_keys()
    await config.save(model())
    assert "app:a" not in await client.kv_keys()
    assert (await config.load()).a is nothing
    assert (await config.update(a=6)).a == 6
    async with config.edit() as edited:
        edited.a = nothing
    assert "app:a" not in await client.kv_keys()
    async with config.edit() as edited:
        edited.a = 7
    assert [each.field for each in await config.diff(model())] == ["a"]
    assert await config.diff(model(a=7)) == []
    if nothing is None:
        assert (await config.update(a=None)).a is None
        assert await config.diff() == []


async def test_a_watch_tells_of_a_key_that_was_left_out(client: NdbClient) -> None:
    config = ConfigRepository(client, WithExclusion, namespace="app")
    watch = config.watch(await config.save(WithExclusion(a=1)), interval=0.001)
    async with config.edit() as edited:
        edited.a = None
    change = await anext(watch)
    assert (change.fields, change.old.a, change.new.a) == (("a",), 1, None)
