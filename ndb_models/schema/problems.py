"""What is wrong with a model or with stored keys, said by fields and reasons, without anything of the values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final, get_args

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, from_json
from pydantic_core.core_schema import ErrorType

from ndb_models.texts import join_members

WHOLE: Final = "(model)"
"""Stands for a field where it is the model as a whole that is wrong."""

# Pydantic's own messages name limits and types, which the class knows. These have room for something of the value, and
# are said otherwise.
_REFUSED: Final = "a validator of the class refused it; what that says is not shown, since it may hold the value"
_TELLTALE: Final[Mapping[str, str]] = {
    "value_error": _REFUSED,
    "assertion_error": _REFUSED,
    "union_tag_invalid": "what tells the alternatives of its type apart is none of those that there are",
    "uuid_parsing": "Input should be a valid UUID",
    "url_parsing": "Input should be a valid URL",
}
_UNSAID: Final = "a validator of the class refused it"
# Those whose messages hold nothing of the value: Pydantic's, and our own.
_SHOWN: Final = frozenset({*get_args(ErrorType), "zone_missing", "zone_unknown", "zoned_datetime_parsing"})

# How Pydantic begins to say that it has no serializer for a type.
_UNKNOWN_TYPE: Final = "Unable to serialize unknown type"


def not_numbers(model: BaseModel) -> Iterator[tuple[str, str]]:
    """Return the fields that hold what Pydantic writes as null, and then misses a number."""
    for name, value in model.__dict__.items():
        if isinstance(value, float) and not isfinite(value):
            yield name, "JSON has no NaN and no infinity"


def unreadable(keys: Mapping[str, bytes]) -> Sequence[tuple[str, str]]:
    """Return the keys whose text is beyond what Pydantic's parser reads."""
    problems: list[tuple[str, str]] = []
    for name, text in keys.items():
        try:
            from_json(join_members({name: text}))
        except ValueError:
            problems.append((name, "it is nested too deep, or holds a number of too many digits"))
    return problems


def problems_of(error: ValidationError) -> Sequence[tuple[str, str]]:
    """Return what is wrong as (field, reason), without anything of the values.

    Below the field, a place may be named by data (the names in a dict); and a message may quote the value where a
    validator of the user wrote it.
    """
    return [
        (str(problem["loc"][0]) if problem["loc"] else WHOLE, _reason(problem))
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def without_values(error: ValidationError) -> ValidationError:
    """Return the error without the values: those that are stored, or to be, are not what a traceback should show."""
    problems: list[InitErrorDetails] = [
        {"type": PydanticCustomError("stored_data", "{reason}", {"reason": reason}), "loc": (name,), "input": None}
        for name, reason in problems_of(error)
    ]
    return ValidationError.from_exception_data(error.title, problems, hide_input=True)


def refused(name: str) -> ValidationError:
    """Return the error for a field that a validator refuses, where what that says cannot be kept."""
    problem = InitErrorDetails(type=PydanticCustomError("refused", _UNSAID), loc=(name,), input=None)
    return ValidationError.from_exception_data(name, [problem], hide_input=True)


def without_value(error: Exception) -> Exception | None:
    """Return why something is no JSON, if that tells of types alone; what a serializer raises may hold the value."""
    tells_of_types = isinstance(error, msgspec.MsgspecError) or str(error).startswith(_UNKNOWN_TYPE)
    return error if tells_of_types else None


def _reason(problem: Any) -> str:
    kind, message = str(problem["type"]), str(problem["msg"])
    if kind in _SHOWN:
        return _TELLTALE.get(kind, message)
    return f"{_REFUSED} ({kind})"
