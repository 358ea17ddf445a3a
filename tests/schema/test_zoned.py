"""`ZonedDatetime` as a field's type: what it takes, what it refuses, and what may stand around it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from annotated_types import Gt
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, TypeAdapter, ValidationError

from ndb_models import NdbClient, Repository, SessionModel, ZonedDatetime

BERLIN = ZoneInfo("Europe/Berlin")
WHEN = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)
TEXT = "2026-10-25T02:30:00+01:00[Europe/Berlin]"

lax = TypeAdapter[Any](ZonedDatetime)
strict = TypeAdapter[Any](Annotated[ZonedDatetime, Strict()])
late = TypeAdapter[Any](Annotated[ZonedDatetime, Gt(WHEN)])


def zone_and_fold(moment: datetime) -> tuple[datetime, object, int]:
    return moment.replace(tzinfo=None), moment.tzinfo, moment.fold


@pytest.mark.parametrize("adapter", [lax, strict])
def test_a_time_comes_back_with_its_zone(adapter: TypeAdapter[Any]) -> None:
    assert adapter.dump_json(WHEN) == f'"{TEXT}"'.encode()
    for read in (adapter.validate_json(f'"{TEXT}"'), adapter.validate_python(WHEN)):
        assert zone_and_fold(read) == zone_and_fold(WHEN)


def test_its_text_is_taken_from_python_where_the_field_is_not_strict() -> None:
    assert zone_and_fold(lax.validate_python(TEXT)) == zone_and_fold(WHEN)
    with pytest.raises(ValidationError):
        strict.validate_python(TEXT)


@pytest.mark.parametrize(
    "utc", [UTC, timezone(timedelta(0)), TypeAdapter(AwareDatetime).validate_json('"2026-01-01T00:00Z"').tzinfo]
)
def test_utc_of_any_kind_becomes_one(utc: Any) -> None:
    assert lax.validate_python(datetime(2026, 1, 1, tzinfo=utc)).tzinfo == ZoneInfo("UTC")


@pytest.mark.parametrize(
    "given", [1, 1.5, None, b"2026", object(), "", "x", "2026-10-25T02:30:00", "2026-10-25T02:30:00+01:00"]
)
def test_what_is_no_time_with_a_zone_is_refused(given: object) -> None:
    for adapter in (lax, strict):
        with pytest.raises(ValidationError):
            adapter.validate_python(given)


def test_a_time_without_a_zone_is_told_to_get_one() -> None:
    with pytest.raises(ValidationError, match="it has no zone of the IANA database"):
        lax.validate_python(datetime(2026, 1, 1))


def test_bounds_apply_as_to_any_datetime() -> None:
    later = WHEN + timedelta(days=1)
    assert late.validate_python(later) == later
    assert late.validate_json(lax.dump_json(later)) == later
    with pytest.raises(ValidationError, match="greater than"):
        late.validate_python(WHEN)
    with pytest.raises(ValidationError, match="greater than"):
        late.validate_json(f'"{TEXT}"')


class Strictly(SessionModel, schema="tests.zoned.Strictly"):
    model_config = ConfigDict(strict=True)
    starts: ZonedDatetime
    ends: Annotated[ZonedDatetime, Strict()] = Field(default=WHEN)


class Around(BaseModel):
    inner: dict[str, Annotated[ZonedDatetime, Strict()] | None]


class Nesting(SessionModel, schema="tests.zoned.Nesting"):
    around: Around


async def test_strict_classes_store_it() -> None:
    async with NdbClient.connect("memory://") as client:
        saved = await Repository(client, Strictly).save(Strictly(starts=WHEN))
        read = await Repository(client, Strictly).get(saved.tkn)
        assert (zone_and_fold(read.starts), zone_and_fold(read.ends)) == (zone_and_fold(WHEN),) * 2
        nested = await Repository(client, Nesting).save(Nesting(around=Around(inner={"a": WHEN, "b": None})))
        inner = (await Repository(client, Nesting).get(nested.tkn)).around.inner
        assert inner["a"] is not None
        assert (zone_and_fold(inner["a"]), inner["b"]) == (zone_and_fold(WHEN), None)


WITHOUT_ZONES = """
import sys, zoneinfo

sys.modules["tzdata"] = None
zoneinfo.reset_tzpath([])

from pydantic import TypeAdapter, ValidationError
from ndb_models import ZonedDatetime

try:
    TypeAdapter(ZonedDatetime).validate_json('"2026-10-25T02:30:00Z"')
except ValidationError as error:
    print(error.errors()[0]["msg"])
"""


def test_a_system_without_the_database_of_zones_says_so_when_a_zone_is_needed() -> None:
    command = [sys.executable, "-c", WITHOUT_ZONES]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("its zone is not in the IANA database of this machine", "")
