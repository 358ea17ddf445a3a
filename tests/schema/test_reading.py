"""Changes of which JSON Schema says nothing, and that are read as something else, or refused: `check` sees them."""

from __future__ import annotations

from collections import OrderedDict
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, TypeAlias

import pytest
from pydantic import (
    AnyUrl,
    AnyWebsocketUrl,
    AwareDatetime,
    BaseModel,
    Field,
    FtpUrl,
    FutureDate,
    ImportString,
    NaiveDatetime,
    PastDatetime,
    StringConstraints,
    UrlConstraints,
)

from tests.schema.test_comparing import declare, differences, outcome

# Types that are checked against the clock are among those that are compared.
pytestmark = pytest.mark.filterwarnings("ignore::ndb_models.UnstableFieldWarning")


class Colour(Enum):
    RED = "red"


class LowerInside(BaseModel, str_to_lower=True):
    name: str


class Inside(BaseModel):
    name: str


Lower: TypeAlias = Annotated[str, StringConstraints(to_lower=True)]
Digits: TypeAlias = Annotated[Decimal, Field(max_digits=4, decimal_places=2)]
LeftFirst: TypeAlias = Annotated[int | str, Field(union_mode="left_to_right")]
ByName: TypeAlias = OrderedDict[str, int]
ByCount: TypeAlias = OrderedDict[int, int]
Web: TypeAlias = Annotated[AnyUrl, UrlConstraints(allowed_schemes=["http"])]

IMPORTED: Any = ImportString

BREAKING: dict[str, tuple[Any, Any]] = {
    "names become numbers": (dict[str, int], dict[int, int]),
    "names become booleans": (dict[str, int], dict[bool, int]),
    "names become floats": (dict[str, int], dict[float, int]),
    "names become tuples": (dict[str, int], dict[tuple[int, int], int]),
    "names become those of an enum": (dict[str, int], dict[Colour, int]),
    "names of an ordered dict": (ByName, ByCount),
    "names are bounded": (dict[int, int], dict[Annotated[int, Field(ge=3)], int]),
    "names are longer": (dict[str, int], dict[Annotated[str, Field(min_length=3)], int]),
    "a time needs a zone": (datetime, AwareDatetime),
    "a time has no zone": (datetime, NaiveDatetime),
    "a time is over": (datetime, PastDatetime),
    "a day is to come": (date, FutureDate),
    "in a list": (list[datetime], list[AwareDatetime]),
    "in an optional": (datetime | None, AwareDatetime | None),
    "a URL of another scheme": (AnyUrl, FtpUrl),
    "a URL for a WebSocket": (AnyUrl, AnyWebsocketUrl),
    "a URL of certain schemes": (AnyUrl, Web),
    "digits are counted": (Decimal, Digits),
    "digits are counted, or none": (Decimal | None, Digits | None),
    "text without spaces around": (
        Annotated[str, StringConstraints(min_length=2)],
        Annotated[str, StringConstraints(min_length=2, strip_whitespace=True)],
    ),
    "text is stripped": (str, Annotated[str, StringConstraints(strip_whitespace=True)]),
    "text becomes small": (str, Lower),
    "text becomes small no longer": (Lower, str),
    "text becomes small, or none": (str | None, Lower | None),
    "text names what is imported": (str, IMPORTED),
    "the first alternative wins": (int | str, LeftFirst),
    "the first alternative wins, or none": (int | str | None, LeftFirst | None),
    "nested": (Inside, LowerInside),
}

COMPATIBLE: dict[str, tuple[Any, Any]] = {
    "names become text": (dict[Annotated[str, Field(min_length=3)], int], dict[str, int]),
    "names need not be whole numbers": (dict[int, int], dict[float, int]),
    "a time needs no zone": (AwareDatetime, datetime),
    "a day is any day": (FutureDate, date),
    "a URL is any URL": (FtpUrl, AnyUrl),
    "digits are not counted": (Digits, Decimal),
    "a time is text": (AwareDatetime, str),
}

CONFIGURED: dict[str, tuple[Any, dict[str, Any]]] = {
    "bytes are read as hex": (bytes, {"ser_json_bytes": "hex", "val_json_bytes": "hex"}),
    "bytes are read as base64": (bytes, {"val_json_bytes": "base64"}),
    "text becomes small": (str, {"str_to_lower": True}),
    "text is stripped": (list[str], {"str_strip_whitespace": True}),
    "text is longer": (str, {"str_min_length": 3}),
}


@pytest.mark.parametrize("change", BREAKING)
def test_what_is_read_as_something_else_is_breaking_and_says_where(change: str) -> None:
    old, new = (declare({"field": each}) for each in BREAKING[change])
    assert outcome(old, new) == "breaking"
    assert all(each.place.startswith("field") for each in differences(old, new))


@pytest.mark.parametrize("change", COMPATIBLE)
def test_what_refuses_less_is_compatible(change: str) -> None:
    old, new = (declare({"field": each}) for each in COMPATIBLE[change])
    assert outcome(old, new) == "compatible", differences(old, new)


@pytest.mark.parametrize("change", CONFIGURED)
def test_a_configuration_of_the_class_by_which_its_fields_are_read_otherwise_is_breaking(change: str) -> None:
    annotation, configured = CONFIGURED[change]
    usual, other = declare({"field": annotation}), declare({"field": annotation}, **configured)
    assert outcome(usual, other) == "breaking"
    assert outcome(other, other) == "unchanged"


def test_dropping_how_bytes_are_read_is_breaking() -> None:
    assert outcome(declare({"field": bytes}, val_json_bytes="base64"), declare({"field": bytes})) == "breaking"


def test_a_configuration_matters_to_the_fields_only_that_are_read_by_it() -> None:
    assert outcome(declare({"field": int}), declare({"field": int}, str_to_lower=True)) == "unchanged"
    assert outcome(declare({"field": str}), declare({"field": str}, str_to_lower=False)) == "unchanged"


@pytest.mark.parametrize(
    "annotation",
    {f"{name}, {side}": pair[side] for name, pair in {**BREAKING, **COMPATIBLE}.items() for side in (0, 1)}.items(),
    ids=lambda item: item[0],
)
def test_what_has_not_changed_is_unchanged(annotation: tuple[str, Any]) -> None:
    assert outcome(*(declare({"field": annotation[1]}) for _ in range(2))) == "unchanged"
