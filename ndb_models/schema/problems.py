"""Problems of a model or of stored keys, as fields and reasons that never quote a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final, get_args

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticSerializationError, from_json
from pydantic_core.core_schema import ErrorType

from ndb_models.json_text import join_members

NOT_JSON: Final = (PydanticSerializationError, UnicodeError, msgspec.MsgspecError)
"""Errors raised where a value cannot be written as JSON."""

NO_JSON: Final = "it cannot be written as JSON; assign what the field declares (bytes that are no UTF-8: base64)"

STRANGE_KEYS: Final = "its serializer writes keys that are not its fields"
EXCLUDED: Final = "it is excluded, so it is not stored; leave it at its default"
INCOMPARABLE: Final = (
    "it is excluded, so it is not stored, and cannot be compared with its default; give its class an __eq__, or make"
    " its default None"
)
LEFT_OUT: Final = (
    "it has no value, or is left out when the model is written, and would not come back as it is; give it the default"
    " that it is left out for, or write it always"
)

WHOLE: Final = "(model)"
"""Stands in place of a field if the model as a whole is wrong."""

# Most of Pydantic's messages name limits and types, which the class shows anyway. Messages of the kinds below may quote
# the value, so they are replaced.
_REFUSED: Final = "a validator of the class refused it; what that says is not shown, since it may hold the value"
_TELLTALE: Final[Mapping[str, str]] = {
    "value_error": _REFUSED,
    "assertion_error": _REFUSED,
    "union_tag_invalid": "what tells the alternatives of its type apart is none of those that there are",
    "uuid_parsing": "Input should be a valid UUID",
    "url_parsing": "Input should be a valid URL",
}
_NOT_SHOWN: Final = "refused"
_UNSAID: Final = "a validator of the class refused it"
# Kinds with messages that do not quote the value, apart from those above: Pydantic's and our own.
_SHOWN: Final = frozenset({*get_args(ErrorType), "zone_missing", "zone_unknown", "zoned_datetime_parsing"})

# The start of Pydantic's message for a type without a serializer.
_UNKNOWN_TYPE: Final = "Unable to serialize unknown type"


def not_numbers(model: BaseModel) -> Iterator[tuple[str, str]]:
    """Yield the fields that hold NaN or an infinity: Pydantic writes null for them, and reads no number from it."""
    for name, value in model.__dict__.items():
        if isinstance(value, float) and not isfinite(value):
            yield name, "JSON has no NaN and no infinity"


def unreadable(keys: Mapping[str, bytes]) -> Sequence[tuple[str, str]]:
    """Return the keys with a text that Pydantic's parser cannot read."""
    problems: list[tuple[str, str]] = []
    for name, text in keys.items():
        try:
            from_json(join_members({name: text}))
        except ValueError:
            problems.append((name, "it is nested too deep, or holds a number of too many digits"))
    return problems


def problems_of(error: ValidationError) -> Sequence[tuple[str, str]]:
    """Return the problems as (field, reason), without quoting a value.

    Parts of the location below the field are left out, since they may be data, such as the names in a dict. The
    messages of a user's validators are left out too, since they may quote the value.
    """
    return [(str(problem["loc"][0]) if problem["loc"] else WHOLE, _reason(problem)) for problem in _problems(error)]


def _problems(error: ValidationError) -> Sequence[Any]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _kind(problem: Any) -> Any:  # a literal text to type checkers, since it is meant to be one of a few
    kind = str(problem["type"])
    return kind if kind in _SHOWN else _NOT_SHOWN


def without_values(error: ValidationError) -> ValidationError:
    """Return the error without the values: a traceback should show no data of a session.

    Each problem keeps the type that Pydantic gives it, such as `int_parsing`; that of a user's validator is `refused`.
    """
    problems: list[InitErrorDetails] = [
        {"type": PydanticCustomError(_kind(problem), "{reason}", {"reason": reason}), "loc": (name,), "input": None}
        for problem, (name, reason) in zip(_problems(error), problems_of(error), strict=True)
    ]
    return ValidationError.from_exception_data(error.title, problems, hide_input=True)


def refused(name: str) -> ValidationError:
    """Return the error for a field that a validator refuses, without the validator's own message."""
    problem = InitErrorDetails(type=PydanticCustomError(_NOT_SHOWN, _UNSAID), loc=(name,), input=None)
    return ValidationError.from_exception_data(name, [problem], hide_input=True)


def raised(error: Exception) -> str:
    """Return the reason for refusing a value whose validator raises an error that is not Pydantic's."""
    return (
        f"a validator of the class raised {type(error).__name__}; its message is not shown, for it may hold the value"
    )


def without_value(error: Exception) -> Exception | None:
    """Return the error if its message names types alone, else None: the error of a serializer may quote the value."""
    tells_of_types = isinstance(error, msgspec.MsgspecError) or str(error).startswith(_UNKNOWN_TYPE)
    return error if tells_of_types else None


def _reason(problem: Any) -> str:
    kind, message = str(problem["type"]), str(problem["msg"])
    if kind in _SHOWN:
        return _TELLTALE.get(kind, message)
    return f"{_REFUSED} ({kind})"
