"""`ZonedDatetime`: a datetime that is stored with its zone, in the form of RFC 9557."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, PydanticCustomError, TzInfo, core_schema

_TEXT: Final = re.compile(r"(?P<moment>[^\[\]]+)\[!?(?P<key>[A-Za-z0-9_.+/-]+)\]", re.ASCII)
_PATTERN: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d(:\d\d(\.\d+)?)?)\[!?[A-Za-z0-9_.+/-]+\]$"

_NO_ZONE: Final = (
    'it has no zone of the IANA database: give it one, such as value.astimezone(ZoneInfo("Europe/Berlin"))'
)
_NO_TIME: Final = "it is neither a datetime nor its text, such as 2026-10-25T02:30:00+01:00[Europe/Berlin]"
_NO_TEXT: Final = "it is not a time with its offset and zone, such as 2026-10-25T02:30:00+01:00[Europe/Berlin]"


class _Zoned:
    """Tells Pydantic how to validate, write and describe such a time."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # A datetime's schema is inside, so that `Strict`, `Gt` and the like apply as they do to any datetime.
        return core_schema.with_info_wrap_validator_function(
            _validated,
            core_schema.datetime_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _written, return_schema=core_schema.str_schema(), when_used="json-unless-none"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": _PATTERN}


ZonedDatetime: TypeAlias = Annotated[datetime, _Zoned()]
"""A `datetime` that comes back with its zone: `starts: ZonedDatetime`.

Pydantic stores a `datetime` with its offset alone, so it comes back as the same moment in a zone without clock changes.
This type stores the `ZoneInfo` too, as in `2026-10-25T02:30:00+01:00[Europe/Berlin]` (RFC 9557). The wall time, `fold`
and the zone come back. If the rules of the zone have changed since, the moment is kept, and the wall time follows the
new rules.

Validation refuses a time without a zone, and a zone that is not a `ZoneInfo` of the IANA database. The UTC of Python
and of Pydantic becomes `ZoneInfo("UTC")`. Strings of the form above are taken too, and so are strings in UTC without a
zone. A strict model takes them from JSON alone.
"""


def _validated(given: object, as_datetime: ValidatorFunctionWrapHandler, info: ValidationInfo) -> datetime:
    """Return a time with its zone. Text is taken from JSON, and from Python if the field is not strict."""
    if isinstance(given, datetime):
        as_datetime(moment := _checked(given))
        return moment
    if not isinstance(given, str):
        raise PydanticCustomError("zoned_datetime_type", _NO_TIME)
    moment = _parsed(given)
    as_datetime(moment if info.mode == "json" else moment.isoformat())
    return moment


def _checked(moment: datetime) -> datetime:
    if isinstance(moment.tzinfo, ZoneInfo) and moment.tzinfo.key:
        return moment
    if moment.tzinfo is UTC or (type(moment.tzinfo) is TzInfo and not moment.utcoffset()):
        return moment.replace(tzinfo=_zone("UTC"))
    raise PydanticCustomError("zone_missing", _NO_ZONE)


def _parsed(text: str) -> datetime:
    found = _TEXT.fullmatch(text)
    try:
        moment = datetime.fromisoformat(found["moment"] if found else text)
    except ValueError:
        raise PydanticCustomError("zoned_datetime_parsing", _NO_TEXT) from None
    offset = moment.utcoffset()
    if offset is None:
        raise PydanticCustomError("zoned_datetime_parsing", _NO_TEXT)
    if found is None:
        if offset:
            raise PydanticCustomError("zoned_datetime_parsing", _NO_TEXT)
        return moment.replace(tzinfo=_zone("UTC"))
    return _at(moment, offset, _zone(found["key"]))


def _zone(key: str) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError("zone_unknown", "its zone is not in the IANA database of this machine") from None


def _at(moment: datetime, offset: timedelta, zone: ZoneInfo) -> datetime:
    """Return a moment in its zone. The wall time stays if it has this offset there, even if it never occurs."""
    for fold in (0, 1):
        local = moment.replace(tzinfo=zone, fold=fold)
        if local.utcoffset() == offset:
            return local
    return moment.astimezone(zone)


def _written(moment: datetime) -> str:
    checked = _checked(moment)
    assert isinstance(checked.tzinfo, ZoneInfo)
    return f"{checked.isoformat()}[{checked.tzinfo.key}]"
