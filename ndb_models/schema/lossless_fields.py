"""Reads, writes and checks single fields of a class, if `lossless_check` makes a claim for the class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator

from ndb_models.schema.lossless import IMMUTABLE, Declared, Definitions, Look, declared_type, fields_of
from ndb_models.schema.lossless_schemas import EXTRAS
from ndb_models.schema.problems import NOT_JSON
from ndb_models.schema.value_equality import OF_CHANGES, difference

# Collections that cannot change if their items cannot.
_FIXED: Final = frozenset[type]({tuple, frozenset, type(None)})


class LosslessField(NamedTuple):
    """A field by itself.

    Attributes:
        read: reads a value from its JSON.
        to_json: writes a value as the class does, called with `by_alias=False, round_trip=True, warnings=False`.
        validate: validates a value as the class does, but names no field in its errors.
        kinds: the types of the values that may come back equal.
        look: tells whether a value of such a type comes back equal; False leaves the question open. None if all do.
        is_immutable: true if a value that comes back cannot change.
        differs_if_unequal: true if values that `!=` tells apart differ. Values that it does not may differ, too.
    """

    read: Callable[[bytes], object]
    to_json: Callable[..., bytes]
    validate: Callable[[object], object]
    kinds: frozenset[type]
    look: Look | None
    is_immutable: bool
    differs_if_unequal: bool

    def comes_back(self, value: object) -> bool:
        """Tell whether a value comes back equal. False leaves the question open."""
        return type(value) in self.kinds and (self.look is None or self.look(value))

    def differs(self, value: object, text: bytes) -> bool:
        """Tell whether a value that comes back differs from the value that a stored text reads as."""
        stored = self.read(text)
        return (self.differs_if_unequal and value != stored) or difference(value, stored, OF_CHANGES) is not None

    def copied(self, value: object) -> object:
        """Return an equal value that shares no part with this one; the value itself if it would not come back."""
        if self.is_immutable or not self.comes_back(value):
            return value
        try:
            return self.read(self.to_json(value, by_alias=False, round_trip=True, warnings=False))
        except (ValidationError, *NOT_JSON):
            return value


class _Parts(NamedTuple):
    """The core schema of a class: the schema of its fields, the definitions they refer to, and the configuration."""

    fields: Mapping[str, Any]
    definitions: Definitions
    config: Any

    def declared(self, name: str) -> Declared | None:
        """Return the type of a field; None if no claim is made."""
        return declared_type(self.fields[name], self.definitions)

    def of_some(self) -> Any:
        """Return the core schema of dicts with values of some of the fields."""
        fields = {
            name: {"type": "typed-dict-field", "schema": field["schema"], "required": False}
            for name, field in self.fields.items()
        }
        definitions = [*self.definitions.values()]
        return {"type": "definitions", "schema": {"type": "typed-dict", "fields": fields}, "definitions": definitions}

    def alone(self, name: str) -> Any:
        """Return the core schema of the values of a field."""
        definitions = [*self.definitions.values()]
        return {"type": "definitions", "schema": self.fields[name]["schema"], "definitions": definitions}

    def validator(self, name: str) -> SchemaValidator:
        """Return the validator of the values of a field."""
        return SchemaValidator(self.alone(name), self.config)


def _parts_of(model: type[BaseModel]) -> _Parts | None:
    core_schema: Any = model.__pydantic_core_schema__
    definitions: list[Any] = []
    if core_schema["type"] == "definitions":
        core_schema, definitions = core_schema["schema"], core_schema["definitions"]
    fields = fields_of(core_schema, EXTRAS)
    if fields is None:
        return None
    return _Parts(fields, {each["ref"]: each for each in definitions}, core_schema.get("config"))


def field_reader(model: type[BaseModel], name: str) -> Callable[[bytes], object] | None:
    """Return a function that reads a field from its own JSON, as the class reads it among the others.

    None if no claim can be made, as for a field with a validator of its own, or a class with validators of the whole.
    """
    parts = _parts_of(model)
    if parts is None or name not in parts.fields or parts.declared(name) is None:
        return None
    return parts.validator(name).validate_json


class LosslessFields(dict[str, LosslessField]):
    """The fields of a class for which `lossless_check` makes a claim. Each is made when it is first asked for.

    Attributes:
        immutable: the names of the fields with values that cannot change.
        mutable: the names of the others.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        parts = _parts_of(model)
        assert parts is not None
        self._parts = parts
        self.immutable: tuple[str, ...] = tuple(name for name in parts.fields if _is_immutable(self._declared(name)))
        self.mutable: tuple[str, ...] = tuple(name for name in parts.fields if name not in self.immutable)
        self.to_json: Callable[..., bytes] = SchemaSerializer(parts.of_some(), parts.config).to_json
        """Writes a dict with values of some of the fields as one object, called as `LosslessField.to_json`."""

    def _declared(self, name: str) -> Declared:
        declared = self._parts.declared(name)
        assert declared is not None
        return declared

    def __missing__(self, name: str) -> LosslessField:
        declared, validator = self._declared(name), self._parts.validator(name)
        field = self[name] = LosslessField(
            validator.validate_json,
            SchemaSerializer(self._parts.alone(name), self._parts.config).to_json,
            validator.validate_python,
            declared.kinds,
            _look_of(declared, validator.isinstance_python if declared.is_narrowed else None),
            name in self.immutable,
            declared.differs_if_unequal,
        )
        return field


def _look_of(declared: Declared, fits: Callable[..., bool] | None) -> Look | None:
    look, item_kinds = declared.look, declared.item_kinds
    if fits is None and type(None) not in declared.kinds:
        return look if item_kinds is None else lambda items: item_kinds.issuperset(map(type, items))
    if fits is None and look is None:
        return None

    def comes_back(value: Any) -> bool:
        return (fits is None or fits(value, strict=True)) and (look is None or value is None or look(value))

    return comes_back


def _is_immutable(declared: Declared) -> bool:
    kinds = declared.kinds
    if declared.item_kinds is not None:
        if not kinds <= _FIXED:
            return False
        kinds = declared.item_kinds
    return all(kind in IMMUTABLE or issubclass(kind, Enum) for kind in kinds)
