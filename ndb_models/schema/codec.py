"""Where a model becomes keys and back: one key a field, named by the field, its value the field's JSON.

What is written is read back before it is stored: a value that would not come back equal is refused, by the field's
name. Names are those of the fields, at every depth, whatever aliases a model has for other uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, get_args

import msgspec
from pydantic import PydanticUndefinedAnnotation, ValidationError
from pydantic_core import PydanticSerializationError, from_json
from pydantic_core.core_schema import ErrorType

from ndb_models.errors import SchemaError, StoredDataError, UnstorableError
from ndb_models.schema.model import SessionModel
from ndb_models.types import SessionToken
from ndb_models.wire.session_frames import join_keys, split_keys

M = TypeVar("M", bound=SessionModel)

# Pydantic's own messages name limits and types, which the class knows. These have room for something of the value.
_TELLTALE: Final = frozenset({"value_error", "assertion_error", "union_tag_invalid", "uuid_parsing", "url_parsing"})
_HARMLESS: Final = frozenset(get_args(ErrorType)) - _TELLTALE

_NOT_JSON: Final = (PydanticSerializationError, UnicodeError, msgspec.MsgspecError)

_WHOLE: Final = "(model)"
_NO_JSON: Final = "it cannot be written as JSON"
_WAY_OUT: Final = "it would not come back as it is from JSON; give it a type, or a serializer, that does"
_NOT_STORED: Final = "private attributes are not stored; make it a field, or leave it at its default"
_ABSENT: Final = object()


class ModelCodec(Generic[M]):
    """Turns models of one class into keys and back. Built once per repository.

    Raises:
        SchemaError: the class names a type that is not defined.
    """

    def __init__(self, model: type[M]) -> None:
        self._model = model
        self._name = model.__name__
        try:
            model.model_rebuild()
        except PydanticUndefinedAnnotation as exc:
            raise SchemaError(self._name, None, f"the type {exc.name!r} of a field is not defined") from exc
        self._validator = model.__pydantic_validator__
        self._serializer = model.__pydantic_serializer__
        self._fields: tuple[str, ...] = tuple(model.__pydantic_fields__)
        self.names: tuple[str, ...] = tuple(
            name for name, field in model.__pydantic_fields__.items() if field.exclude is not True
        )
        """The keys of a session of this class."""
        self._names = frozenset(self.names)

    def dump(self, model: M) -> dict[str, bytes]:
        """Return a model's keys.

        Raises:
            UnstorableError: the model holds values that do not fit it, or that would not come back equal.
        """
        text, keys = self._serialize(model)
        if keys.keys() != self._names:
            raise UnstorableError(self._name, self._misnamed(keys))
        try:
            read = self._validator.validate_json(text, by_alias=False, by_name=True)
        except ValidationError as exc:
            raise UnstorableError(self._name, _unreadable(keys) or problems_of(exc)) from exc
        lost = [(name, _WAY_OUT) for name in self._fields if getattr(model, name, _ABSENT) != getattr(read, name)]
        private: Mapping[str, Any] = model.__pydantic_private__ or {}
        as_read: Mapping[str, Any] = read.__pydantic_private__ or {}
        lost += [(name, _NOT_STORED) for name, value in private.items() if as_read.get(name, _ABSENT) != value]
        if lost:
            raise UnstorableError(self._name, lost)
        return keys

    def _serialize(self, model: M) -> tuple[bytes, dict[str, bytes]]:
        try:
            text = self._to_json(model)
            return text, split_keys(text)
        except _NOT_JSON as exc:
            problems = [(name, _NO_JSON) for name in self.names if not self._writes(model, name)]
            raise UnstorableError(self._name, problems or [(_WHOLE, _NO_JSON)]) from exc

    def _writes(self, model: M, name: str) -> bool:
        try:
            split_keys(self._to_json(model, include={name}))
        except msgspec.ValidationError:
            return True  # JSON, but no object: that is the whole model's serializer
        except _NOT_JSON:
            return False
        return True

    def _misnamed(self, keys: Mapping[str, bytes]) -> Sequence[tuple[str, str]]:
        left_out = [
            (name, "it has no value, or is left out when the model is written")
            for name in self.names
            if name not in keys
        ]
        return left_out or [(_WHOLE, "its serializer writes keys that are not its fields")]

    def _to_json(self, model: M, include: set[str] | None = None) -> bytes:
        return self._serializer.to_json(model, include=include, by_alias=False, round_trip=True, warnings="none")

    def load(self, keys: Mapping[str, bytes], tkn: SessionToken) -> tuple[M, bytes]:
        """Return the model that keys make, and the keys as one text, to compare with later.

        Raises:
            StoredDataError: they do not fit.
        """
        text = join_keys(keys)
        try:
            return self._validator.validate_json(text, by_alias=False, by_name=True), text
        except ValidationError as exc:
            raise StoredDataError(self._name, tkn, problems_of(exc)) from exc

    def changes(self, keys: Mapping[str, bytes], before: bytes) -> dict[str, bytes]:
        """Return those of a model's keys that say something else than `before`, the text that the model was read from.

        Both sides are what this class writes: how a server, or another version, formats JSON makes no change.
        """
        unchanged = split_keys(self._to_json(self._validator.validate_json(before, by_alias=False, by_name=True)))
        return {name: text for name, text in keys.items() if unchanged.get(name) != text}


def _unreadable(keys: Mapping[str, bytes]) -> Sequence[tuple[str, str]]:
    """Return the keys whose text is beyond what Pydantic's parser reads."""
    problems: list[tuple[str, str]] = []
    for name, text in keys.items():
        try:
            from_json(join_keys({name: text}))
        except ValueError:
            problems.append((name, "it is nested too deep, or holds a number of too many digits"))
    return problems


def problems_of(error: ValidationError) -> Sequence[tuple[str, str]]:
    """Return what is wrong as (field, reason), without anything of the values.

    Below the field, a place may be named by data (the names in a dict); and a message may quote the value where a
    validator of the user wrote it.
    """
    return [
        (str(problem["loc"][0]) if problem["loc"] else _WHOLE, _reason(problem))
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _reason(problem: Any) -> str:
    kind, message = str(problem["type"]), str(problem["msg"])
    return message if kind in _HARMLESS else kind
