"""Where a model becomes keys and back: one key a field, named by the field, its value the field's JSON.

What is written is read back before it is stored: a value that would not come back equal is refused, by the field's
name. Names are those of the fields, at every depth, whatever aliases a model has for other uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError
from pydantic_core.core_schema import ErrorType

from ndb_models.errors import StoredDataError, UnstorableError
from ndb_models.schema.model import SessionModel
from ndb_models.types import SessionToken
from ndb_models.wire.session_frames import join_keys, split_keys

M = TypeVar("M", bound=SessionModel)

# Pydantic's own messages name limits and types, which the class knows. These have room for something of the value.
_TELLTALE: Final = frozenset({"value_error", "assertion_error", "union_tag_invalid", "uuid_parsing", "url_parsing"})
_HARMLESS: Final = frozenset(get_args(ErrorType)) - _TELLTALE


class ModelCodec(Generic[M]):
    """Turns models of one class into keys and back. Built once per repository."""

    def __init__(self, model: type[M]) -> None:
        self._model = model
        self._name = model.__name__
        self._validator = model.__pydantic_validator__
        self._serializer = model.__pydantic_serializer__
        self.names: tuple[str, ...] = tuple(
            name for name, field in model.__pydantic_fields__.items() if field.exclude is not True
        )
        """The keys of a session of this class."""

    def dump(self, model: M) -> dict[str, bytes]:
        """Return a model's keys, in the order of its fields.

        Raises:
            UnstorableError: the model holds values that do not fit it, or that would not come back equal.
        """
        text = self._serialize(model)
        try:
            read = self._validator.validate_json(text, by_alias=False, by_name=True)
        except ValidationError as exc:
            raise UnstorableError(self._name, problems_of(exc)) from exc
        lost = [name for name in self.names if getattr(model, name) != getattr(read, name)]
        if lost:
            way_out = "it would not come back as it is from JSON; give it a type, or a serializer, that does"
            raise UnstorableError(self._name, [(name, way_out) for name in lost])
        return split_keys(text)

    def _serialize(self, model: M) -> bytes:
        try:
            return self._to_json(model)
        except (PydanticSerializationError, UnicodeError) as exc:
            problems = [(name, "it cannot be written as JSON") for name in self.names if not self._writes(model, name)]
            raise UnstorableError(self._name, problems or [("(model)", "it cannot be written as JSON")]) from exc

    def _writes(self, model: M, name: str) -> bool:
        try:
            self._to_json(model, include={name})
        except (PydanticSerializationError, UnicodeError):
            return False
        return True

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


def problems_of(error: ValidationError) -> Sequence[tuple[str, str]]:
    """Return what is wrong as (field, reason), without anything of the values.

    Below the field, a place may be named by data (the names in a dict); and a message may quote the value where a
    validator of the user wrote it.
    """
    return [
        (str(problem["loc"][0]) if problem["loc"] else "(model)", _reason(problem))
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _reason(problem: Any) -> str:
    kind, message = str(problem["type"]), str(problem["msg"])
    return message if kind in _HARMLESS else kind
