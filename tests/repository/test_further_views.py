"""Views of rarer types: alternatives with functions, settings of a class, bounds of times, keys that are not stored."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from ndb_models import NdbClient, Repository, SchemaError, SessionModel, StoredDataError
from tests.repository.test_views import view_of
from tests.schema.test_comparing import declare


class Colour(Enum):
    RED = "red"


def at_least(least: int, number: int) -> int:
    assert number >= least
    return number


Positive = Annotated[int, AfterValidator(functools.partial(at_least, 1))]
Lowered = Annotated[str, BeforeValidator(str.lower)]

TAKEN: dict[str, tuple[Any, Any, Any, Any]] = {
    "a checked number among alternatives": (Positive | str, 3, Positive | str | None, 3),
    "a path among alternatives": (Path | int, Path("/a"), Path | int | None, Path("/a")),
    "a literal among alternatives": (Literal["a"] | int, "a", Literal["a", "b"] | int, "a"),
    "a partial function": (Positive, 3, Positive, 3),
}

REFUSED: dict[str, tuple[Any, Any]] = {
    "a function that reads anything": (Lowered | int, int | Lowered | bytes),
    "another argument of a partial function": (
        Positive,
        Annotated[int, AfterValidator(functools.partial(at_least, 2))],
    ),
    "a bound with a zone for one without": (
        Annotated[datetime, Field(gt=datetime(2026, 1, 1))],
        Annotated[datetime, Field(gt=datetime(2025, 1, 1, tzinfo=UTC))],
    ),
}


@pytest.mark.parametrize("case", TAKEN)
async def test_a_view_that_takes_what_the_model_writes_shows_it(client: NdbClient, case: str) -> None:
    annotation, value, looser, shown = TAKEN[case]
    model: Any = declare({"field": annotation})
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model(field=value))
    view: Any = await repo.project(saved.tkn, view_of(looser))
    assert (view.field, type(view.field)) == (shown, type(shown))


@pytest.mark.parametrize("case", REFUSED)
async def test_a_view_that_may_show_something_else_is_refused(client: NdbClient, case: str) -> None:
    annotation, other = REFUSED[case]
    with pytest.raises(SchemaError, match=r"View\.field"):
        await Repository(client, declare({"field": annotation})).project(1, view_of(other))


async def test_a_view_configured_as_the_model_shows_the_values_of_enums(client: NdbClient) -> None:
    model: Any = declare({"field": Colour}, use_enum_values=True)
    repo: Repository[SessionModel] = Repository(client, model)
    saved = await repo.save(model(field=Colour.RED))
    shown: Any = await repo.project(saved.tkn, view_of(Colour, use_enum_values=True))
    assert shown.field == "red"


class Visit(SessionModel, schema="rare-visit"):
    page: str
    on: date = Field(default=date(2026, 1, 1), exclude_if=lambda day: day == date(2026, 1, 1))


class OfVisit(BaseModel):
    page: str


class DayOfVisit(BaseModel):
    on: date


async def test_a_view_of_a_field_that_is_gone_and_has_no_default_does_not_fit(client: NdbClient) -> None:
    repo = Repository(client, Visit)
    saved = await repo.save(Visit(page="p"))
    await client.sh_rmv(["page"], saved.tkn)
    with pytest.raises(StoredDataError, match="page"):
        await repo.project(saved.tkn, OfVisit)


async def test_a_view_shows_the_default_of_a_day_that_is_left_out_in_writing(client: NdbClient) -> None:
    repo = Repository(client, Visit)
    saved = await repo.save(Visit(page="p"))
    assert (await repo.project(saved.tkn, DayOfVisit)).on == date(2026, 1, 1)
