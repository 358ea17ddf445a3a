"""What nobody touched is no change of a configuration, whatever its classes remember, compare and write."""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, BeforeValidator, PlainSerializer, PrivateAttr

from ndb_models import ConfigRepository, NdbClient, SessionModel, UnstorableError
from tests.configuration.stepping import Time

_numbers = itertools.count()
Nonced = Annotated[
    str,
    BeforeValidator(lambda text: text.split("|")[0]),
    PlainSerializer(lambda text: f"{text}|{next(_numbers)}"),
]


class Pool(BaseModel):
    size: int = 4
    hosts: frozenset[str] = frozenset()
    _opened: int = PrivateAttr(0)

    @cached_property
    def label(self) -> str:
        return f"{self.size} at most"

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]  # as of any class that has its own comparison


class Settings(BaseModel):
    title: str = ""
    pool: Pool = Pool()
    pools: dict[str, Pool] = {}
    nonced: Nonced = ""

    @cached_property
    def shown(self) -> str:
        return self.title.upper()


def _look(settings: Settings) -> None:
    assert settings.shown == settings.title.upper()
    for pool in (settings.pool, *settings.pools.values()):
        assert pool.label == f"{pool.size} at most"


@pytest.fixture
def settings(client: NdbClient) -> ConfigRepository[Settings]:
    return ConfigRepository(client, Settings, namespace="app")


def _stored() -> Settings:
    pool = Pool(size=2, hosts=frozenset("abcdef"))
    return Settings(title="t", pool=pool, pools={"a": pool.model_copy(deep=True)}, nonced="x")


async def test_what_another_changed_survives_an_edit_that_looks_at_a_property(
    settings: ConfigRepository[Settings],
) -> None:
    await settings.save(_stored())
    async with settings.edit() as edited:
        _look(edited)
        edited.pools = {"a": Pool(size=2, hosts=frozenset(sorted("abcdef", reverse=True)))}
        await settings.update(pool=Pool(size=9), pools={"b": Pool()}, nonced="y")
        edited.title = "u"
    now = await settings.load()
    assert (now.title, now.pool.size, [*now.pools], now.nonced) == ("u", 9, ["b"], "y")


async def test_no_difference_is_reported_where_there_is_none(settings: ConfigRepository[Settings]) -> None:
    other = _stored()
    await settings.save(other)
    _look(other)
    assert await settings.diff(other) == []
    other.pool.size = 3
    assert [each.field for each in await settings.diff(other)] == ["pool"]


async def test_a_watch_tells_of_what_changed_alone(settings: ConfigRepository[Settings], time: Time) -> None:
    since = _stored()
    await settings.save(since)
    _look(since)
    watch = settings.watch(since, clock=time, sleep=time.sleep)
    await settings.save(_stored())
    await settings.update(title="u")
    assert (await anext(watch)).fields == ("title",)


async def test_an_update_writes_what_changed_alone(settings: ConfigRepository[Settings], client: NdbClient) -> None:
    await settings.save(_stored())
    before = await client.kv_get(["app:pool", "app:pools", "app:nonced"])
    await settings.update(title="u")
    await settings.update(pool=Pool(size=2, hosts=frozenset("fedcba")), nonced="x")
    assert await client.kv_get(["app:pool", "app:pools", "app:nonced"]) == before


class Remembering(BaseModel):
    pool: Pool = Pool()
    _count: int = PrivateAttr(0)


class Dropping(SessionModel, private="drop"):
    pool: Pool = Pool()
    _count: int = PrivateAttr(0)


async def test_private_attributes_are_refused_by_name_or_left_out(client: NdbClient) -> None:
    for model in (Remembering(), Dropping()):
        model._count = 5  # noqa: SLF001 - what a user of the class would do within it
        model.pool._opened = 5  # noqa: SLF001
    with pytest.raises(UnstorableError) as caught:
        await ConfigRepository(client, Remembering).save(Remembering(pool=model.pool))
    assert "'_opened' of Pool" in str(caught.value)
    config: Any = ConfigRepository(client, Dropping)
    await config.save(model)
    async with config.edit() as edited:
        edited.pool._opened = 7  # noqa: SLF001
    assert (await config.load()).pool.size == 4
