"""Values and types that few models have: they come back as they are, or are refused by the field's name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time
from itertools import product
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import AfterValidator, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, PrivateAttr
from pydantic.dataclasses import dataclass
from pydantic_core import CoreSchema, core_schema

from ndb_models import NdbClient, Repository, SessionModel, StoredDataError, UnstorableError, ZonedDatetime
from ndb_models.schema.value_equality import OF_CHANGES, difference


class Shapeless:
    """A number that cannot say its JSON Schema."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.int_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        raise RuntimeError("there is none")


class Bag(list[int]):
    """A list with an attribute of its own, which its `==` compares and its JSON does not hold."""

    def __init__(self, items: Iterable[int] = (), label: str = "") -> None:
        super().__init__(items)
        self._label = label

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bag) and self._label == other._label and super().__eq__(other)

    __hash__ = None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda given: given if isinstance(given, cls) else cls(given),
            serialization=core_schema.plain_serializer_function_ser_schema(list),
        )


@dataclass(config=ConfigDict(extra="allow"))
class Point:
    x: int


class Shapes(SessionModel, schema="rare-shapes"):
    shape: Shapeless


class Bags(SessionModel, schema="rare-bags"):
    bag: Bag


class OnceOnly(SessionModel, schema="rare-onceonly"):
    items: Iterable[int]


class Points(SessionModel, schema="rare-points"):
    point: Point = Point(x=0)


class Cached(SessionModel, schema="rare-cached", private="drop"):
    point: Point = Point(x=0)
    _cache: list[int] = PrivateAttr(default_factory=list)


class Local(SessionModel, schema="rare-local"):
    at: datetime = datetime(2026, 1, 1)
    hour: time = time(9)


class Sparse(SessionModel, schema="rare-sparse"):
    a: int | None = None
    b: int | None = None
    c: int | None = None
    d: int | None = None
    e: int | None = None
    f: int | None = None
    g: int | None = None


def unspeakable(name: str) -> str:
    if name.startswith("canary"):
        raise ValueError("\ud800")
    return name


class Named(SessionModel, schema="rare-named"):
    name: Annotated[str, AfterValidator(unspeakable)] = ""


class Meeting(SessionModel, schema="rare-meeting"):
    starts: ZonedDatetime


async def test_a_class_with_a_type_that_has_no_json_schema_is_stored(client: NdbClient) -> None:
    repo = Repository(client, Shapes)
    saved = await repo.save(Shapes.model_validate({"shape": 3}))
    assert await repo.get(saved.tkn) == saved


@pytest.mark.parametrize(
    ("model", "field", "reason"),
    [
        (OnceOnly(items=[1]), "items", "an iterator is used up"),
        (Bags(bag=Bag([1], "a")), "bag", "would not come back"),
        (Points(point=Point(x=1, y=2)), "point", "would not come back"),  # type: ignore[call-arg]  # an extra
        (Cached(point=Point(x=1, y=2)), "point", "would not come back"),  # type: ignore[call-arg]  # an extra
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_value_with_more_than_its_json_holds_is_refused(
    client: NdbClient, model: SessionModel, field: str, reason: str
) -> None:
    with pytest.raises(UnstorableError, match=reason) as caught:
        await Repository(client, type(model)).save(model)
    assert [name for name, _ in caught.value.problems] == [field]


async def test_an_update_to_such_a_value_is_refused_and_changes_nothing(client: NdbClient) -> None:
    repo = Repository(client, Bags)
    saved = await repo.save(Bags(bag=Bag([1])))
    with pytest.raises(UnstorableError, match="bag"):
        await repo.update(saved.tkn, bag=Bag([1], "a"))
    assert (await repo.get(saved.tkn)).bag == Bag([1])


@pytest.mark.parametrize("changes", [{"at": datetime(2026, 1, 2)}, {"hour": time(10)}], ids=["at", "hour"])
async def test_another_time_without_a_zone_is_a_change(client: NdbClient, changes: dict[str, Any]) -> None:
    repo = Repository(client, Local)
    saved = await repo.save(Local())
    async with repo.edit(saved.tkn) as session:
        vars(session).update(changes)
    assert await repo.get(saved.tkn) == Local(**changes)


async def test_any_mixture_of_values_and_none_comes_back() -> None:
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, Sparse)
        for row in product((None, 1), repeat=7):
            saved = await repo.save(Sparse(**dict(zip("abcdefg", row, strict=True))))
            assert await repo.get(saved.tkn) == saved


async def test_a_validator_may_say_what_no_text_can_hold(client: NdbClient) -> None:
    repo = Repository(client, Named)
    saved = await repo.save(Named())
    with pytest.raises(UnstorableError, match="name: a validator of the class refused it"):
        await repo.update(saved.tkn, name="canary")
    await client.sh_set({"name": "canary"}, saved.tkn)
    with pytest.raises(StoredDataError, match="a validator of the class refused it") as caught:
        await repo.get(saved.tkn)
    assert "canary" not in f"{caught.value} {caught.value.__cause__}"


async def test_a_stored_time_in_utc_needs_no_zone(client: NdbClient) -> None:
    repo = Repository(client, Meeting)
    saved = await repo.save(Meeting(starts=datetime(2026, 1, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))))
    await client.sh_set({"starts": "2026-01-01T11:00:00Z"}, saved.tkn)
    assert (await repo.get(saved.tkn)).starts == datetime(2026, 1, 1, 11, tzinfo=ZoneInfo("UTC"))


@pytest.mark.parametrize("text", ["2026-01-01T12:00:00+01:00", "2026-01-01T12:00:00+01:00[Nowhere/Town]"])
async def test_a_stored_time_with_no_known_zone_does_not_fit(client: NdbClient, text: str) -> None:
    repo = Repository(client, Meeting)
    saved = await repo.save(Meeting(starts=datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))))
    await client.sh_set({"starts": text}, saved.tkn)
    with pytest.raises(StoredDataError, match=r"starts: .*zone"):
        await repo.get(saved.tkn)


async def test_the_moment_is_kept_if_the_rules_of_its_zone_have_changed(client: NdbClient) -> None:
    repo = Repository(client, Meeting)
    berlin = ZoneInfo("Europe/Berlin")
    saved = await repo.save(Meeting(starts=datetime(2026, 1, 1, tzinfo=berlin)))
    await client.sh_set({"starts": "2026-01-01T12:00:00+03:00[Europe/Berlin]"}, saved.tkn)
    starts = (await repo.get(saved.tkn)).starts
    assert (starts.hour, starts.tzinfo) == (10, berlin)


def test_values_of_classes_without_end_are_compared() -> None:
    for number in range(1100):
        kind = type(f"Kind{number}", (list,), {})
        assert difference(kind([1.5]), kind([1.5]), OF_CHANGES) is None
        assert difference(kind([1.5]), kind([2.5]), OF_CHANGES) is not None
