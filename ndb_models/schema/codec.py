"""Where a model becomes keys and back: one key a field, named by the field, its value the field's JSON.

A model is read back before it is stored, unless its class guarantees the round trip. A value that would not come back
the same, in value and type at every depth, is refused with the field's name. A field that is left out in writing is
stored as absent if the model reads back the same without it. Keys at every depth are field names; aliases are for other
uses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final, Generic, TypeVar

import msgspec
from pydantic import BaseModel, PydanticUndefinedAnnotation, ValidationError

from ndb_models.errors import InvalidArgumentError, SchemaError, StoredDataError, UnstorableError
from ndb_models.json_text import (
    ObjectText,
    names_in,
    split_members,
)
from ndb_models.raising import raise_without_context
from ndb_models.schema.changes import Changes, FieldTexts, TextChanges, check_is_object, value_of
from ndb_models.schema.core_schemas import reader_of, writes_fields
from ndb_models.schema.envelope import RESERVED_KEY, is_reserved
from ndb_models.schema.field_changes import FieldChanges
from ndb_models.schema.field_values import FieldValues
from ndb_models.schema.lossless import MOST_DIGITS, extras_come_back, has_long_number, lossless_check
from ndb_models.schema.lossless_fields import LosslessFields
from ndb_models.schema.model import Stored
from ndb_models.schema.problems import (
    EXCLUDED,
    INCOMPARABLE,
    LEFT_OUT,
    NO_JSON,
    NOT_JSON,
    STRANGE_KEYS,
    WHOLE,
    not_numbers,
    problems_of,
    raised,
    refused,
    unreadable,
    without_value,
    without_values,
)
from ndb_models.schema.secrets import serializer_of, writer_of
from ndb_models.schema.value_equality import OF_CHANGES, Rules, difference, lost_names
from ndb_models.schema.value_kinds import UNDECIDED, drops_private, not_stored
from ndb_models.types import SessionToken

B = TypeVar("B", bound=BaseModel)

_RESERVED: Final = RESERVED_KEY.encode()

UNFIT: Final = (ValidationError, UnicodeEncodeError)
"""The errors of reading keys that do not fit a class. The second: a validator's message holds a lone surrogate."""


class ModelCodec(Generic[B]):
    """Turns models of one class into keys and back. Built once per class and repository.

    Args:
        model: the class.
        looked_up: the fields that other programs look for by their stored values.

    Raises:
        SchemaError: the class names a type that is not defined.
    """

    def __init__(self, model: type[B], looked_up: Collection[str] = ()) -> None:
        self._model = model
        self._name = model.__name__
        try:
            model.model_rebuild()
        except PydanticUndefinedAnnotation as exc:
            raise SchemaError(self._name, None, f"the type {exc.name!r} of a field is not defined") from exc
        self.read: Callable[[bytes], B] = reader_of(model)
        """Reads the keys of a model, given as the text of an object. Raises the errors in `UNFIT`; see `load`."""
        self._write: Callable[..., bytes] = writer_of(model)
        self._to_json = serializer_of(model).to_json
        self.names: tuple[str, ...] = tuple(
            name for name, field in model.__pydantic_fields__.items() if field.exclude is not True
        )
        """The keys of the stored fields. A session of an `open` class may have more."""
        self._excluded = frozenset(model.__pydantic_fields__).difference(self.names)
        self.open: bool = model.model_config.get("extra") == "allow"
        """True if sessions may have keys beyond the fields."""
        self._comes_back = lossless_check(model) if writes_fields(model.__pydantic_core_schema__) else None
        self._fields = LosslessFields(model) if self._comes_back is not None else None
        self.by_field: FieldChanges | None = None
        """Finds the changes of most models by their fields; None if that cannot be done, or would take longer."""
        if self._fields is not None and not self.open and len(self._fields.mutable) <= len(self._fields.immutable):
            self.by_field = FieldChanges(self._fields)
        self.changes: Final = TextChanges(model, looked_up, self.read, self._write, self._fields).since
        """Finds changes by the whole text; see `TextChanges.since`."""
        self._rules = Rules(drops_private=drops_private(model))

    def dump(self, model: B) -> ObjectText:
        """Return a model's keys.

        Raises:
            UnstorableError: a value does not fit, is no JSON or would not come back the same; or a key is reserved, or
                is no field of a class that is not `open`.
        """
        try:
            text = self._to_json(model, by_alias=False, round_trip=True, warnings=False)
            is_plain = self._comes_back is not None and self._comes_back(model.__dict__)
            if is_plain and (len(text) <= MOST_DIGITS or not has_long_number(text)):
                extras = model.__pydantic_extra__
                if not extras:
                    return ObjectText(text, self.names)
                if extras_come_back(extras) and _RESERVED not in text:
                    return ObjectText(text, (*self.names, *extras))
        except NOT_JSON as exc:
            raise_without_context(self._not_json(model), without_value(exc))
        keys = self.written(model, text)
        read = self._read_back(model, keys)
        if lost := self._lost(model, read, keys):
            raise UnstorableError(self._name, lost)
        return keys

    def written(self, model: B, text: bytes | None = None) -> ObjectText:
        """Return a model's keys, without a check that they come back. `text` is what it is written as, if known."""
        try:
            text = text or self._write(model)
            names = names_in(text)
        except NOT_JSON as exc:
            raise_without_context(self._not_json(model), without_value(exc))
        if names == self.names:  # share one tuple: there may be millions of texts
            return ObjectText(text, self.names)
        keys = ObjectText(text, names)
        self._refuse_misnamed(keys)
        return keys

    def text_of(self, model: B) -> bytes | None:
        """Return what a model is written as, without any check; None if that fails."""
        try:
            return self._write(model)
        except NOT_JSON:
            return None

    def _read_back(self, model: B, keys: ObjectText) -> B:
        """Return the model that a model's keys make."""
        try:
            return self.read(keys.text)
        except ValidationError as exc:
            problems = unreadable(keys) or [*not_numbers(model)] or problems_of(exc)
            raise_without_context(UnstorableError(self._name, [*self._left_out(keys, problems)]), without_values(exc))
        except Exception as exc:  # noqa: BLE001 - a user's validator may raise any error
            name = self.fields.first_raising(keys) or WHOLE
            raise_without_context(UnstorableError(self._name, [(name, raised(exc))]))

    def _not_json(self, model: B) -> UnstorableError:
        problems = [(name, NO_JSON) for name in self.names if not self._writes(model, name)]
        return UnstorableError(self._name, problems or [(WHOLE, NO_JSON)])

    def _writes(self, model: B, name: str) -> bool:
        try:
            names_in(self._write(model, include={name}))
        except msgspec.ValidationError:
            return True  # JSON, but no object: the serializer of the whole model writes it
        except NOT_JSON:
            return False
        return True

    def _refuse_misnamed(self, keys: ObjectText) -> None:
        if _RESERVED in keys.text:
            reserved = [(name, "this key is reserved") for name in keys.names if is_reserved(name)]
            if reserved:
                raise UnstorableError(self._name, reserved)
        if not self.open and not {*keys.names} <= {*self.names}:
            raise UnstorableError(self._name, [(WHOLE, STRANGE_KEYS)])

    def _left_out(self, keys: ObjectText, problems: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for name, reason in problems:
            yield name, LEFT_OUT if name in self.names and name not in keys.names else reason

    def _lost(self, model: B, read: B, keys: ObjectText) -> list[tuple[str, str]]:
        """Return the names of a model's values that differ from the model read back, with the reasons."""
        if difference(model, read, self._rules) is None:
            return []
        fields = self._model.__pydantic_fields__
        extras = {**(model.__pydantic_extra__ or {}), **(read.__pydantic_extra__ or {})}
        return [*self._lost_fields(model, read, keys, (*fields, *extras)), *self._lost_private(model, read)]

    def _lost_fields(self, model: B, read: B, keys: ObjectText, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        again = FieldTexts(self._write, read)
        for name in names:
            reason = difference(value_of(model, name), value_of(read, name), self._rules)
            if reason is None:
                continue
            if name in self._excluded:
                yield name, INCOMPARABLE if reason is UNDECIDED else EXCLUDED
            elif again.settles(reason, name, keys.get(name)) is not None:
                yield name, reason if name in keys else LEFT_OUT

    def _lost_private(self, model: B, read: B) -> Iterator[tuple[str, str]]:
        if not self._rules.drops_private:
            names = lost_names(model.__pydantic_private__ or {}, read.__pydantic_private__ or {}, self._rules)
            yield from ((name, not_stored(name, self._model)) for name in names)

    def load(self, text: bytes, tkn: SessionToken) -> B:
        """Return the model that keys make, given as the text of an object.

        Raises:
            StoredDataError: the keys do not fit the class.
            ProtocolError: the text is no JSON object. No server stores such a text.
        """
        try:
            return self.read(text)
        except ValidationError as exc:
            check_is_object(text)
            raise_without_context(StoredDataError(self._name, tkn, problems_of(exc)), without_values(exc))
        except UnicodeEncodeError:  # a validator's message holds a lone surrogate
            cause = refused(WHOLE)
            raise_without_context(StoredDataError(self._name, tkn, problems_of(cause)), cause)

    def texts(self, model: B, names: Sequence[str]) -> dict[str, bytes]:
        """Return the texts of some fields of a model, without a check that they would come back equal.

        Raises:
            UnstorableError: a field cannot be written as JSON.
        """
        try:
            return split_members(self._write(model, include={*names}))
        except NOT_JSON as exc:
            raise_without_context(UnstorableError(self._name, [(name, NO_JSON) for name in names]), without_value(exc))

    def changes_since(self, model: B, stored: Stored, keys: ObjectText | None = None) -> Changes:
        """Return the changes of a model since it was read or saved.

        Args:
            model: the model.
            stored: what is known to be stored.
            keys: the keys that the model is written as now, if known.

        Raises:
            UnstorableError: as `dump`.
        """
        by_field, values = self.by_field, stored.values
        if by_field is None:
            return self.changes(model, keys or self.dump(model), stored.keys, stored.unsure)
        if values is not None and keys is None and not stored.unsure and stored.outdated is None:
            found = by_field.since(model, stored.keys, values)
            if found is not None:
                return found
        keys = keys or self.dump(model)
        return self.changes(model, keys, stored.keys, stored.unsure, by_field.values_of(model.__dict__))

    def differing(self, one: B, other: B) -> tuple[str, ...]:
        """Return the stored fields with different values in two models, in the order of the class."""
        texts, again = FieldTexts(self._write, one), FieldTexts(self._write, other)

        def differ(name: str) -> bool:
            reason = difference(value_of(one, name), value_of(other, name), OF_CHANGES)
            return reason is not None and again.settles(reason, name, texts.of(name)) is not None

        return tuple(filter(differ, self.names))

    def with_changes(self, model: B, changes: Mapping[str, object]) -> tuple[B, ObjectText | None]:
        """Change fields of a model. Each is validated as in the constructor, then the whole.

        The given model is used up. The keys of the result are returned with it, if they are known and come back equal.

        Raises:
            InvalidArgumentError: a name is no field, and the class is not `open`.
            UnstorableError: a value does not fit its field or would not come back the same, or the values do not fit
                together.
        """
        values = self._validated(model, changes)
        fields = self._model.__pydantic_fields__
        extra = {} if changes.keys() <= fields.keys() else {n: values.pop(n) for n in changes if n not in fields}
        if model.__pydantic_extra__ is not None:
            model.__pydantic_extra__.update(extra)
        model.__pydantic_fields_set__.update(changes)
        if self._fields is not None and not extra:
            for name, value in values.items():
                vars(model)[name] = self._fields[name].copied(value)
            return model, None
        vars(model).update(values)
        keys = self.written(model)
        # Reading validates the whole: fields that did not change are not coerced once more.
        read = self._read_back(model, keys)
        if difference(model, read, self._rules) is None:
            return read, keys
        if lost := [*self._lost_fields(model, read, keys, changes)]:
            raise UnstorableError(self._name, lost)
        return read, None

    def _validated(self, model: B, changes: Mapping[str, object]) -> dict[str, object]:
        if not self.open and (unknown := changes.keys() - self._model.__pydantic_fields__):
            known = ", ".join(self._model.__pydantic_fields__)
            raise InvalidArgumentError(f"{self._name} has no field {min(unknown)!r}; it has {known}")
        values: dict[str, object] = {}
        problems: list[tuple[str, str]] = []
        cause: ValidationError | None = None
        for name, value in changes.items():
            try:
                values[name] = self._validated_alone(model, name, value)
            except ValidationError as exc:
                problems += problems_of(exc)
                cause = cause or exc
        if cause is not None:
            raise UnstorableError(self._name, problems) from without_values(cause)
        return values

    def _validated_alone(self, model: B, name: str, value: object) -> object:
        if self._fields is not None and name in self._model.__pydantic_fields__:
            try:
                return self._fields[name].validate(value)
            except UNFIT:  # the errors of the whole name the field
                pass
        return self.fields.validated(model.__dict__, name, value)

    @cached_property
    def fields(self) -> FieldValues:
        """Validates and writes single fields."""
        return FieldValues(self._model, self._write)
