"""Values that cannot be compared with what is read: refused by name, or not looked at where nothing needs them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from threading import Lock
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, PlainSerializer, PlainValidator, RootModel

from ndb_models import NdbClient, Repository, SessionModel, UnstorableError

_numbers = itertools.count(1)


class Inner(BaseModel):
    number: int = 1


class OfAnything(SessionModel):
    user: str = "billy"
    part: BaseModel | None = None
    parts: list[BaseModel] = []


class Touchy(RootModel[int]):
    """Cannot be compared, as arrays of numbers cannot."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("secret value")

    __hash__ = None  # type: ignore[assignment]  # as of any class that has its own comparison


class OfTouchy(SessionModel):
    touchy: Touchy


class Detached:
    """Its attributes cannot be read any more, as those of a row whose database session is closed."""

    def __init__(self, number: int) -> None:
        self.__dict__["number"] = number

    def __getattribute__(self, name: str) -> Any:
        if name == "number":
            raise LookupError("secret value")
        return object.__getattribute__(self, name)


class Unread(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise KeyError("secret value")

    def __iter__(self) -> Iterator[str]:
        return iter("a")

    def __len__(self) -> int:
        raise RuntimeError("secret value")


class Nowhere(tzinfo):
    """A zone that knows its offset for the moment before it is stored, and not afterwards."""

    def __init__(self) -> None:
        self.asked = 0

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        self.asked += 1
        if self.asked > 1:
            raise OSError("secret value")
        return timedelta(0)

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None


class OfRaising(SessionModel):
    seen: int = 0
    row: Annotated[Any, PlainValidator(lambda given: given and Detached(1)), PlainSerializer(lambda row: row and 1)] = (
        None
    )
    mapping: Annotated[
        Any,
        PlainValidator(lambda given: None if given is None else Unread()),
        PlainSerializer(lambda given: None if given is None else 1),
    ] = None
    unlike: Annotated[
        Any,
        PlainValidator(lambda given: given and Detached(1)),
        PlainSerializer(lambda row: row and next(_numbers)),
    ] = None
    at: datetime = datetime(2026, 1, 1)


class OfData(SessionModel):
    """Its defaults look like what Pydantic describes classes with."""

    widget: dict[str, Any] = {"type": "model", "cls": "BaseModel"}
    kind: str = Field(default="model-fields", json_schema_extra={"type": "model"})
    hidden: BaseModel | None = Field(default=None, exclude=True)


@pytest.mark.parametrize(
    ("session", "field"),
    [
        (OfAnything(part=Inner()), "part"),
        (OfAnything(parts=[Inner()]), "parts"),
    ],
)
async def test_a_value_that_cannot_be_compared_is_refused_by_its_field(session: SessionModel, field: str) -> None:
    async with NdbClient.connect("memory://") as client:
        with pytest.raises(UnstorableError) as caught:
            await Repository(client, type(session)).save(session)
        assert [name for name, _ in caught.value.problems] == [field]
        assert "secret" not in str(caught.value)
        assert (await client.sh_info_all())["totalSessions"] == 0


async def test_a_value_that_raises_when_it_is_compared_is_told_by_its_text(client: NdbClient) -> None:
    repo = Repository(client, OfRaising)
    saved = await repo.save(OfRaising(row=Detached(1), mapping=Unread()))
    assert not repo.unsaved(saved)
    read = await repo.get(saved.tkn)
    assert not repo.unsaved(read)
    assert (await repo.update(saved.tkn, seen=1)).seen == 1
    read.at = datetime(2026, 1, 1, tzinfo=Nowhere())
    await repo.save(read)
    read = await repo.get(saved.tkn)
    assert read.at == datetime(2026, 1, 1, tzinfo=UTC)
    read.unlike = Detached(1)
    with pytest.raises(UnstorableError, match="unlike") as caught:
        await repo.save(read)
    assert "secret" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


async def test_a_model_is_compared_by_its_fields_whatever_its_own_comparison_does() -> None:
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, OfTouchy)
        saved = await repo.save(OfTouchy(touchy=Touchy(1)))
        assert (await repo.get(saved.tkn)).touchy.root == 1


@pytest.mark.parametrize("session", [OfAnything(), OfData(), OfData(widget={"type": "model-fields"})])
async def test_a_field_of_such_a_type_does_no_harm_while_it_holds_none(session: SessionModel) -> None:
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, type(session))
        saved = await repo.save(session)
        assert await repo.get(saved.tkn) == session


class Handle(SessionModel):
    lock: Any = Field(default_factory=Lock, exclude=True)


async def test_what_is_excluded_and_cannot_be_compared_is_told_the_way_out(client: NdbClient) -> None:
    with pytest.raises(UnstorableError, match=r"lock: .*cannot be compared with its default; .* its default None"):
        await Repository(client, Handle).save(Handle())
