"""Types that are checked against the clock or the files at each read: a class that has them is warned of."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import (
    AwareDatetime,
    BaseModel,
    DirectoryPath,
    Field,
    FilePath,
    FutureDate,
    FutureDatetime,
    NewPath,
    PastDate,
    PastDatetime,
    SocketPath,
)

from ndb_models import ConfigRepository, NdbClient, Repository, SessionModel, StoredDataError, UnstableFieldWarning
from tests.schema.test_comparing import declare

T = TypeVar("T")


class Nested(BaseModel):
    until: FutureDatetime | None = None


UNSTABLE: list[tuple[Any, str]] = [
    (FutureDatetime, "the clock .* declare datetime or AwareDatetime"),
    (PastDatetime, "the clock"),
    (FutureDate, "the clock .* declare date"),
    (PastDate, "the clock"),
    (FilePath, "the files .* declare Path"),
    (DirectoryPath, "the files"),
    (NewPath, "the files"),
    (SocketPath, "the files"),
    (FutureDatetime | None, "the clock"),
    (int | FilePath, "the files"),
    (list[PastDate], "the clock"),
    (dict[str, list[FutureDate]], "the clock"),
    (dict[FutureDate, int], "the clock"),
    (tuple[int, NewPath], "the files"),
    (Annotated[FutureDatetime, Field(description="a note")], "the clock"),
    (Nested, "the clock"),
    (list[Nested] | None, "the clock"),
]


@pytest.mark.parametrize(("annotation", "reason"), UNSTABLE, ids=[str(each) for each, _ in UNSTABLE])
def test_a_type_that_is_checked_against_the_moment_is_warned_of_by_field(annotation: Any, reason: str) -> None:
    with pytest.warns(UnstableFieldWarning, match=rf"Session\.field: its type is checked against {reason}"):
        declare({"field": annotation, "other": (int, 0)})


@pytest.mark.parametrize("annotation", [datetime, AwareDatetime, date, Path, list[Path], datetime | None, Any])
def test_a_type_that_asks_for_nothing_outside_is_not_warned_of(annotation: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        declare({"field": annotation})


def test_what_is_not_stored_is_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        declare({"field": (FilePath | None, Field(default=None, exclude=True))})


def test_the_warning_is_where_the_class_is_declared() -> None:
    with pytest.warns(UnstableFieldWarning) as caught:

        class Declared(SessionModel):
            until: FutureDatetime

    assert [each.filename for each in caught] == [__file__]


def test_a_generic_class_is_warned_of_with_such_an_argument() -> None:
    class Held(SessionModel, Generic[T]):
        item: T

    with pytest.warns(UnstableFieldWarning, match=r"item: its type is checked against the files"):
        Held[FilePath].model_rebuild()


class Late(SessionModel, schema="unstable-late"):
    until: Until


Until = FutureDatetime


def test_a_type_that_is_defined_later_is_warned_of_when_the_class_is_stored(client: NdbClient) -> None:
    if client.is_remote:
        return
    with pytest.warns(UnstableFieldWarning, match=r"Late\.until") as caught:
        Repository(client, Late)
    assert [each.filename for each in caught] == [__file__]
    Repository(client, Late)


def test_a_configuration_is_warned_of_when_it_is_used(client: NdbClient) -> None:
    class Config(BaseModel):
        key: FilePath | None = None

    with pytest.warns(UnstableFieldWarning, match=r"Config\.key"):
        ConfigRepository(client, Config)


async def test_the_raw_client_repairs_a_session_that_no_longer_fits(client: NdbClient) -> None:
    with pytest.warns(UnstableFieldWarning):

        class Offer(SessionModel):
            until: FutureDatetime

    repo = Repository(client, Offer)
    offer = await repo.save(Offer(until=datetime.now(UTC) + timedelta(days=1)))
    await client.sh_set({"until": "2020-01-01T00:00:00Z"}, offer.tkn)
    with pytest.raises(StoredDataError, match="until"):
        await repo.update(offer.tkn, until=datetime.now(UTC) + timedelta(days=1))
    await client.sh_set({"until": "2999-01-01T00:00:00Z"}, offer.tkn)
    assert (await repo.get(offer.tkn)).until.year == 2999
