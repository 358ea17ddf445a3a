"""Where a model becomes keys and back: one key a field, named by the field, its value the field's JSON.

What is written is read back before it is stored, unless the class says that it will come back: a value that would not
come back equal is refused, by the field's name. Names are those of the fields, at every depth, whatever aliases a model
has for other uses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from math import isfinite
from typing import Any, Final, Generic, TypeVar, get_args

import msgspec
from pydantic import BaseModel, PydanticUndefinedAnnotation, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticSerializationError, from_json
from pydantic_core.core_schema import ErrorType

from ndb_models.errors import InvalidArgumentError, ProtocolError, SchemaError, StoredDataError, UnstorableError
from ndb_models.schema.assignment import FieldsValidator
from ndb_models.schema.core_schemas import has_aliases, writes_fields
from ndb_models.schema.envelope import is_reserved
from ndb_models.schema.lossless import lossless_check
from ndb_models.schema.secrets import revealing_serializer
from ndb_models.texts import UNREADABLE, ObjectText, has_constants, join_members, names_in, split_members
from ndb_models.types import SessionToken

B = TypeVar("B", bound=BaseModel)

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
_PYDANTICS: Final = frozenset(get_args(ErrorType))

_NOT_JSON: Final = (PydanticSerializationError, UnicodeError, msgspec.MsgspecError)

# No integer in a text of so many bytes has more digits than Pydantic reads.
_SURELY_READ: Final = 4000

# How Pydantic begins to say that it has no serializer for a type.
_UNKNOWN_TYPE: Final = "Unable to serialize unknown type"

_WHOLE: Final = "(model)"
_NO_JSON: Final = "it cannot be written as JSON; assign what the field declares (bytes that are no UTF-8: base64)"
_WAY_OUT: Final = (
    "it would not come back as it is from JSON; assign what the field declares, or declare a type, or a serializer,"
    " that does"
)
_EXCLUDED: Final = "it is excluded, so it is not stored; leave it at its default"
_NOT_STORED: Final = "private attributes are not stored; make it a field, or leave it at its default"
_ABSENT: Final = object()


class ModelCodec(Generic[B]):
    """Turns models of one class into keys and back. Built once per class and repository.

    Raises:
        SchemaError: the class names a type that is not defined.
    """

    def __init__(self, model: type[B]) -> None:
        self._model = model
        self._name = model.__name__
        try:
            model.model_rebuild()
        except PydanticUndefinedAnnotation as exc:
            raise SchemaError(self._name, None, f"the type {exc.name!r} of a field is not defined") from exc
        self._read: Callable[[bytes], B] = _reader(model)
        self._write: Callable[..., bytes] = _writer(model)
        self.names: tuple[str, ...] = tuple(
            name for name, field in model.__pydantic_fields__.items() if field.exclude is not True
        )
        """The keys of a session of this class, but for those that `open` ones have beyond their fields."""
        self.open: bool = model.model_config.get("extra") == "allow"
        """Whether sessions may have keys that are no fields."""
        self._writes_fields = not self.open and writes_fields(model.__pydantic_core_schema__)
        self._comes_back = lossless_check(model) if self._writes_fields else None

    def dump(self, model: B) -> ObjectText:
        """Return a model's keys.

        Raises:
            UnstorableError: the model holds values that do not fit it, or that would not come back equal.
        """
        if self._writes_fields:
            try:
                text = self._write(model)
                if self._comes_back is not None and len(text) <= _SURELY_READ and self._comes_back(model.__dict__):
                    return ObjectText(text, self.names)
                read = self._read(text)
            except (PydanticSerializationError, UnicodeError, ValidationError):
                return self._dump_with_care(model)  # which says what is wrong
            # Equal, and so all fields are there. What is no JSON, Pydantic may write and read all the same.
            is_equal = not (
                _differ(model.__dict__, read.__dict__) or _differ(model.__pydantic_private__, read.__pydantic_private__)
            )
            if is_equal and not has_constants(text):
                return ObjectText(text, self.names)
        return self._dump_with_care(model)

    def _dump_with_care(self, model: B) -> ObjectText:
        """Do what `dump` does, whatever the class writes, and find out what is wrong where something is."""
        keys = self._serialize(model)
        if keys.names is not self.names and not self._takes(keys.names):
            raise UnstorableError(self._name, self._misnamed(keys))
        try:
            read = self._read(keys.text)
        except ValidationError as exc:
            problems = _unreadable(keys) or [*_not_numbers(model)] or problems_of(exc)
            raise UnstorableError(self._name, problems) from without_values(exc)
        lost = list(self._lost(model, read))
        if lost:
            raise UnstorableError(self._name, lost)
        return keys

    def _takes(self, names: Sequence[str]) -> bool:
        """Tell whether a model may be written as keys of these names, in whatever order."""
        given, own = frozenset(names), frozenset(self.names)
        return given == own or (self.open and given > own and not any(map(is_reserved, given)))

    def _lost(self, model: B, read: B) -> Iterator[tuple[str, str]]:
        for name in self._model.__pydantic_fields__:
            # Not as attributes: whoever saves a deprecated field has not used it.
            if _differ(model.__dict__.get(name, _ABSENT), read.__dict__.get(name, _ABSENT)):
                yield name, _WAY_OUT if name in self.names else _EXCLUDED
        for values, as_read, reason in (
            (model.__pydantic_extra__, read.__pydantic_extra__, _WAY_OUT),
            (model.__pydantic_private__, read.__pydantic_private__, _NOT_STORED),
        ):
            for name, value in (values or {}).items():
                if _differ((as_read or {}).get(name, _ABSENT), value):
                    yield name, reason

    def _serialize(self, model: B) -> ObjectText:
        try:
            text = self._write(model)
            names = names_in(text)
        except _NOT_JSON as exc:
            problems = [(name, _NO_JSON) for name in self.names if not self._writes(model, name)]
            raise UnstorableError(self._name, problems or [(_WHOLE, _NO_JSON)]) from _without_value(exc)
        # Their own tuple where it is the same: there may be millions of these.
        return ObjectText(text, self.names if names == self.names else names)

    def _writes(self, model: B, name: str) -> bool:
        try:
            names_in(self._write(model, include={name}))
        except msgspec.ValidationError:
            return True  # JSON, but no object: that is the whole model's serializer
        except _NOT_JSON:
            return False
        return True

    def _misnamed(self, keys: Mapping[str, bytes]) -> Sequence[tuple[str, str]]:
        reserved = [name for name in keys if is_reserved(name)]
        if reserved:
            return [(name, "this key is reserved") for name in reserved]
        left_out = [
            (name, "it has no value, or is left out when the model is written")
            for name in self.names
            if name not in keys
        ]
        return left_out or [(_WHOLE, "its serializer writes keys that are not its fields")]

    def load(self, text: bytes, tkn: SessionToken) -> B:
        """Return the model that keys make, given as the text of an object.

        Raises:
            StoredDataError: they do not fit.
            ProtocolError: it is not the text of an object, which no server stores.
        """
        try:
            return self._read(text)
        except ValidationError as exc:
            _check_is_object(text)
            raise StoredDataError(self._name, tkn, problems_of(exc)) from without_values(exc)

    def texts(self, model: B, names: Sequence[str]) -> dict[str, bytes]:
        """Return the texts of some fields of a model, without a look at whether they would come back equal.

        Raises:
            UnstorableError: one cannot be written as JSON.
        """
        try:
            return split_members(self._write(model, include={*names}))
        except _NOT_JSON as exc:
            raise UnstorableError(self._name, [(name, _NO_JSON) for name in names]) from _without_value(exc)

    def changes(self, keys: Mapping[str, bytes], before: bytes) -> tuple[dict[str, bytes], list[str]]:
        """Compare a model's keys with `before`, the text that it was read from.

        Returns those that say something else now, and the names of those that are no longer there. Both sides are what
        this class writes: how a server, or another version, formats JSON makes no change.
        """
        # It fitted when it was read; validators may ask for the time, or for what lies outside.
        with contextlib.suppress(ValidationError):
            before = self._write(self._read(before))
        unchanged = split_members(before)
        changed = {name: text for name, text in keys.items() if unchanged.get(name) != text}
        return changed, [name for name in unchanged if name not in keys]

    def with_changes(self, model: B, changes: Mapping[str, object]) -> B:
        """Return a copy of a model with these fields changed, each validated as in the constructor, and all together.

        Raises:
            InvalidArgumentError: a name is not that of a field.
            UnstorableError: a value does not fit its field, or they do not fit together.
        """
        unknown = sorted(set(changes) - set(self._model.__pydantic_fields__))
        if unknown and not self.open:
            known = ", ".join(self._model.__pydantic_fields__)
            raise InvalidArgumentError(f"{self._name} has no field {unknown[0]!r}; it has {known}")
        values: dict[str, object] = {}
        problems: list[tuple[str, str]] = []
        cause: ValidationError | None = None
        for name, value in changes.items():
            try:
                values[name] = self._fields_validator.validate(model.__dict__, name, value)
            except ValidationError as exc:
                problems += problems_of(exc)
                cause = cause or exc
        if cause is not None:
            raise UnstorableError(self._name, problems) from without_values(cause)
        # The whole is validated as it is read: fields that did not change are not coerced once more.
        return self._reread(model.model_copy(update=values), values)

    def field_text(self, name: str, value: object) -> bytes:
        """Return the JSON as which a value given for a field would be stored.

        Raises:
            InvalidArgumentError: it does not fit the field.
        """
        try:
            validated = self._fields_validator.validate({}, name, value)
            blank = self._model.__new__(self._model)
            parts = {"__dict__": {name: validated}, "__pydantic_fields_set__": {name}}
            for part, content in {**parts, "__pydantic_extra__": {}, "__pydantic_private__": None}.items():
                object.__setattr__(blank, part, content)
            return split_members(self._write(blank, include={name}))[name]
        except ValidationError as exc:
            ((_, reason), *_) = problems_of(exc)
            raise InvalidArgumentError(f"{self._name}.{name}: {reason}") from without_values(exc)
        except (*_NOT_JSON, KeyError) as exc:
            raise InvalidArgumentError(f"{self._name}.{name}: {_NO_JSON}") from _without_value(exc)

    @cached_property
    def _fields_validator(self) -> FieldsValidator:
        return FieldsValidator(self._model)

    def _reread(self, model: B, changed: Mapping[str, object]) -> B:
        keys = self._serialize(model)
        try:
            read = self._read(keys.text)
        except ValidationError as exc:
            raise UnstorableError(self._name, _unreadable(keys) or problems_of(exc)) from without_values(exc)
        as_read = {**read.__dict__, **(read.__pydantic_extra__ or {})}
        lost = [(name, _WAY_OUT) for name, value in changed.items() if _differ(as_read.get(name, _ABSENT), value)]
        if lost:
            raise UnstorableError(self._name, lost)
        return read


def _differ(one: object, other: object) -> bool:
    """Tell whether two values differ. Those that cannot be compared do, as instances of `BaseModel` itself cannot."""
    try:
        return bool(one != other)
    except Exception:  # noqa: BLE001 - whatever the comparison of a type raises
        return True


def _reader(model: type[B]) -> Callable[[bytes], B]:
    """Return what reads JSON as a model, by the names of the fields at every depth."""
    read: Callable[..., B] = model.__pydantic_validator__.validate_json
    # Saying so costs a third of the time of reading a small model.
    return partial(read, by_alias=False, by_name=True) if has_aliases(model.__pydantic_core_schema__) else read


def _writer(model: type[BaseModel]) -> Callable[..., bytes]:
    """Return what writes a model, or some fields of it, as JSON, by the names of the fields at every depth."""
    serializer = revealing_serializer(model.__pydantic_core_schema__) or model.__pydantic_serializer__
    to_json = serializer.to_json

    def write(instance: BaseModel, include: set[str] | None = None) -> bytes:
        # False, for no warnings, takes half the time that "none" does.
        return to_json(instance, include=include, by_alias=False, round_trip=True, warnings=False)

    return write


def _check_is_object(text: bytes) -> None:
    try:
        names_in(text)
    except UNREADABLE as exc:
        raise ProtocolError("what the server sent for the keys of a session is no JSON object") from exc


def _not_numbers(model: BaseModel) -> Iterator[tuple[str, str]]:
    """Return the fields that hold what Pydantic writes as null, and then misses a number."""
    for name, value in model.__dict__.items():
        if isinstance(value, float) and not isfinite(value):
            yield name, "JSON has no NaN and no infinity"


def _unreadable(keys: Mapping[str, bytes]) -> Sequence[tuple[str, str]]:
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
        (str(problem["loc"][0]) if problem["loc"] else _WHOLE, _reason(problem))
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def without_values(error: ValidationError) -> ValidationError:
    """Return the error without the values: those that are stored, or to be, are not what a traceback should show."""
    problems: list[InitErrorDetails] = [
        {"type": PydanticCustomError("stored_data", "{reason}", {"reason": reason}), "loc": (name,), "input": None}
        for name, reason in problems_of(error)
    ]
    return ValidationError.from_exception_data(error.title, problems, hide_input=True)


def _without_value(error: Exception) -> Exception | None:
    """Return why something is no JSON, if that tells of types alone; what a serializer raises may hold the value."""
    tells_of_types = isinstance(error, msgspec.MsgspecError) or str(error).startswith(_UNKNOWN_TYPE)
    return error if tells_of_types else None


def _reason(problem: Any) -> str:
    kind, message = str(problem["type"]), str(problem["msg"])
    if kind in _PYDANTICS:
        return _TELLTALE.get(kind, message)
    return f"{_REFUSED} ({kind})"
