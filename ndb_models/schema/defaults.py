"""Defaults that a session cannot be saved with, because they would not come back the same.

They are found when the class is declared, at every depth: in nested models, dataclasses and typed dicts too. Defaults
that cannot be tried without an instance, or that a user function makes, are left to `save`.
"""

# Defaults are of any type.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, get_args

import pydantic_core
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined, SchemaSerializer, SchemaValidator
from pydantic_core.core_schema import ErrorType

from ndb_models.errors import SchemaError
from ndb_models.raising import raise_without_context
from ndb_models.schema.core_schemas import Fields, fields_of_model, walk
from ndb_models.schema.secrets import revealing_serializer
from ndb_models.schema.value_equality import Rules, difference
from ndb_models.schema.value_kinds import UNDECIDED, drops_private, is_whole_number_of

# MISSING is never written, and need not be. Older releases of Pydantic do not have it.
_MISSING: Final[object] = getattr(pydantic_core, "MISSING", PydanticUndefined)

# Factories that may be called at any time, since they only make a value.
_PURE: Final = (dict, list, set, frozenset, tuple, deque, OrderedDict, defaultdict, str, bytes, int, float, bool)

_FITTING: Final[Mapping[str, type]] = {"str": str, "int": int, "bool": bool, "float": float}

_PYDANTICS: Final = frozenset(get_args(ErrorType)) - {"value_error", "assertion_error"}

_NONE: Final = "its default is None, which its type does not take; declare it as `... | None`"
_UNFIT: Final = "its default does not fit its type; give it one that does"
_UNWRITABLE: Final = (
    "its default cannot be written as JSON; give it one that can, or declare a type or a serializer that writes it"
    " (bytes that are no UTF-8: ser_json_bytes and val_json_bytes)"
)


class _Trial(NamedTuple):
    """A default, with its reader and its writer."""

    default: Any
    reader: SchemaValidator
    writer: SchemaSerializer


def check_defaults(model: type[BaseModel]) -> None:
    """Make sure that a model of this class can be saved with its defaults.

    A whole number as the default of a float or a Decimal is converted to that type.

    Raises:
        SchemaError: a default cannot be saved; the message says why, and mostly how to mend it.
    """
    _take_numbers(model)
    rules = Rules(drops_private=drops_private(model))
    of = fields_of_model(model)
    for name, field in of.fields.items():
        if model.__pydantic_fields__[name].exclude is True:
            continue
        own = field["schema"]
        for node, config in walk(field, of):
            if node["type"] != "default" or _is_harmless(node, config):
                continue
            problem = _problem(node, config, of, rules)
            if problem is _UNWRITABLE and any(map(_is_written_by_function, _around(field, of))):
                continue  # that function may write it, and may need the model around it
            if problem is not None:
                inside = "" if node is own else "a default inside of its type: "
                raise SchemaError(model.__name__, name, f"{inside}{problem}")


def _take_numbers(model: type[BaseModel]) -> None:
    taken = False
    for name, field in model.__pydantic_fields__.items():
        if type(field.default) is not int:
            continue
        kinds = {*(get_args(field.annotation) or (field.annotation,))} - {type(None)}
        if len(kinds) == 1 and (kind := next(iter(kinds))) in (float, Decimal):
            try:
                field.default, taken = kind(field.default), True
            except OverflowError:
                raise_without_context(SchemaError(model.__name__, name, "its default is larger than a float can hold"))
    if taken:
        model.model_rebuild(force=True)


def _is_harmless(node: Any, config: Mapping[str, Any]) -> bool:
    """Tell whether a default needs no trial: it surely comes back, or its factory must not be called here."""
    if "default" not in node:
        return node.get("default_factory") not in _PURE
    default, inner = node["default"], node["schema"]
    if default is PydanticUndefined or (default is None and inner["type"] == "nullable"):
        return True
    if inner["type"] == "nullable":
        inner = inner["schema"]
    is_plain = inner.keys() <= {"type"} and not any(name.startswith(("str_", "allow_")) for name in config)
    return is_plain and type(default) is _FITTING.get(inner["type"]) and _fits_any_json(default)


def _fits_any_json(default: Any) -> bool:
    """Tell whether any JSON can hold this text or number."""
    return default.isascii() if type(default) is str else abs(default) < 2**63  # False for NaN


def _around(field: Any, of: Fields) -> list[Any]:
    return [*of.around, *(node for node, _ in walk(field, of))]


def _is_written_by_function(node: Any) -> bool:
    """Tell whether a user function writes this node."""
    function = (node.get("serialization") or {}).get("function")
    return function is not None and not str(getattr(function, "__module__", "")).startswith("pydantic.")


def _problem(node: Any, config: Mapping[str, Any], of: Fields, rules: Rules) -> str | None:
    trial = _trial(node, config, of)
    if trial is None:
        return None
    default = trial.default
    try:
        if node.get("validate_default", config.get("validate_default")):
            default = trial.reader.validate_python(default)
        text = _written(trial, default)
        if text is None:  # it may not be a value of its type
            return _as_given(trial)
        read = trial.reader.validate_json(text, by_alias=False, by_name=True)
    except ValidationError as exc:
        return _unfit(default, exc)
    except Exception:  # noqa: BLE001 - user functions may need the model around them
        return None
    if _is_same(default, read, rules) or is_whole_number_of(default, read):
        return None
    return _changed(default, read)


def _written(trial: _Trial, default: Any) -> bytes | None:
    """Return the text of a default, or None if it has none."""
    try:
        return trial.writer.to_json(default, round_trip=True, by_alias=False, warnings=False)
    except ValueError:  # Pydantic's own error, a lone surrogate, or a value that refers to itself
        return None


def _unfit(default: Any, error: ValidationError) -> str | None:
    """Return why a default is refused; None if a user validator refuses it, which may be on purpose."""
    if any(problem["type"] not in _PYDANTICS for problem in error.errors(include_url=False, include_input=False)):
        return None
    return _NONE if default is None else _UNFIT


def _as_given(trial: _Trial) -> str | None:
    """Return the problem of a default that cannot be written: validation changes its type, or it is no JSON."""
    try:
        read = trial.reader.validate_python(trial.default)
    except Exception:  # noqa: BLE001 - user functions may need the model around them
        return None
    if type(read) is not type(trial.default):
        return _changed(trial.default, read)
    return None if read is _MISSING else _UNWRITABLE


def _trial(node: Any, config: Mapping[str, Any], of: Fields) -> _Trial | None:
    whole: Any = {"type": "definitions", "schema": node, "definitions": list(of.definitions.values())}
    configured: Any = dict(config)
    try:
        default = node["default_factory"]() if "default" not in node else _copied(node["default"])
        writer = revealing_serializer(whole) or SchemaSerializer(whole, configured)
        return _Trial(default, SchemaValidator(whole, configured), writer)
    except Exception:  # noqa: BLE001 - not every part of a schema stands alone
        return None


def _copied(default: Any) -> Any:
    try:
        return copy.deepcopy(default)
    except Exception:  # noqa: BLE001 - a lock, for one, cannot be copied
        return default


def _is_same(one: Any, other: Any, rules: Rules) -> bool:
    """Tell whether a default comes back the same. Values that cannot be compared pass; `save` decides."""
    return difference(one, other, rules) in (None, UNDECIDED)


def _changed(default: Any, read: Any) -> str:
    before, after = type(default).__name__, type(read).__name__
    if before != after:
        return (
            f"its default is of type {before}, and would come back from the store as {after}; write one of"
            f" type {after}, declare a type that keeps {before}, or say Field(validate_default=True)"
        )
    return f"its default, a {before}, would not come back from the store as it is; write it as its type reads it"
