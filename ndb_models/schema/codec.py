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
    NO_KEYS,
    ObjectText,
    join_raw_members,
    names_in,
    raw_members,
    split_members,
)
from ndb_models.raising import raise_without_context
from ndb_models.schema.changes import Changes, FieldReaders, FieldTexts, changed_in_whole, check_is_object, value_of
from ndb_models.schema.core_schemas import reader_of, writes_fields
from ndb_models.schema.envelope import RESERVED_KEY, is_reserved
from ndb_models.schema.field_values import FieldValues
from ndb_models.schema.lossless import MOST_DIGITS, extras_come_back, has_long_number, lossless_check
from ndb_models.schema.problems import (
    EXCLUDED,
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
from ndb_models.schema.secrets import writer_of
from ndb_models.schema.value_equality import OF_CHANGES, Rules, difference, lost_names
from ndb_models.schema.value_kinds import drops_private, not_stored
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
        self.names: tuple[str, ...] = tuple(
            name for name, field in model.__pydantic_fields__.items() if field.exclude is not True
        )
        """The keys of the stored fields. A session of an `open` class may have more."""
        self._excluded = frozenset(model.__pydantic_fields__).difference(self.names)
        self.open: bool = model.model_config.get("extra") == "allow"
        """True if sessions may have keys beyond the fields."""
        self._comes_back = lossless_check(model) if writes_fields(model.__pydantic_core_schema__) else None
        self._field_readers = FieldReaders(model)
        self._looked_up = frozenset(looked_up)
        self._rules = Rules(drops_private=drops_private(model))

    def dump(self, model: B, text: bytes | None = None) -> ObjectText:
        """Return a model's keys. `text` is what it is written as, if known.

        Raises:
            UnstorableError: a value does not fit, is no JSON or would not come back the same; or a key is reserved, or
                is no field of a class that is not `open`.
        """
        try:
            text = text or self._write(model)
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
                yield name, EXCLUDED
            elif name not in keys:
                yield name, LEFT_OUT
            else:
                reason = again.settles(reason, name, keys[name])
                if reason is not None:
                    yield name, reason

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

    def changes(self, model: B, keys: ObjectText, before: bytes, unsure: frozenset[str] = frozenset()) -> Changes:
        """Return the changes of a model since it was read from the text `before`, or written as that text.

        A field that is looked up is written if it is not stored, even at its default: others look for its stored value.

        Args:
            model: the model.
            keys: the keys that it is written as now.
            before: the text that is stored.
            unsure: keys with unknown stored values. They are written, or removed, even if they did not change.
        """
        if keys.text == before and not unsure:
            return Changes(NO_KEYS, [], unsure, before)
        now, stored = raw_members(keys.text), raw_members(before)
        removed = [name for name in unsure if name not in now] if unsure else []
        for name in unsure:
            stored.pop(name, None)
        changed: dict[str, msgspec.Raw] = {}
        undecided = [name for name in stored if name not in now] if stored.keys() != now.keys() else []
        is_all = True
        for name, text in now.items():
            was = stored.get(name)
            if was == text:
                continue
            read = self._field_readers[name]
            if was is None and (name in unsure or name in self._looked_up):
                changed[name] = text
            elif was is None or read is None:
                undecided.append(name)
            elif difference(model.__dict__[name], read(bytes(was)), OF_CHANGES) is not None:
                changed[name] = text
            else:
                is_all = False
        if undecided:
            differing = {*changed_in_whole(model, keys, before, undecided, self.read, self._write)}
            changed.update({name: now[name] for name in undecided if name in differing and name in now})
            removed += [name for name in undecided if name in differing and name not in now]
            is_all = is_all and differing.issuperset(undecided)
        after = keys.text
        if not is_all:
            kept = {**stored, **changed}
            after = join_raw_members({name: kept[name] for name in kept if name not in removed})
        written = ObjectText(join_raw_members(changed), tuple(changed))
        return Changes(written, removed, frozenset((*changed, *removed)), after, stored)

    def differing(self, one: B, other: B) -> tuple[str, ...]:
        """Return the stored fields with different values in two models, in the order of the class."""
        texts, again = FieldTexts(self._write, one), FieldTexts(self._write, other)

        def differ(name: str) -> bool:
            reason = difference(value_of(one, name), value_of(other, name), OF_CHANGES)
            return reason is not None and again.settles(reason, name, texts.of(name)) is not None

        return tuple(filter(differ, self.names))

    def with_changes(self, model: B, changes: Mapping[str, object]) -> tuple[B, ObjectText | None]:
        """Change fields of a model. Each is validated as in the constructor, then the whole.

        The given model is used up. The keys of the result are returned with it, unless a validator of the whole made it
        differ from what it was read from, so that it has to be dumped.

        Raises:
            InvalidArgumentError: a name is no field, and the class is not `open`.
            UnstorableError: a value does not fit its field or would not come back the same, or the values do not fit
                together.
        """
        values = self._validated(model, changes)
        fields = self._model.__pydantic_fields__
        extra = {name: values.pop(name) for name in changes if name not in fields}
        if model.__pydantic_extra__ is not None:
            model.__pydantic_extra__.update(extra)
        vars(model).update(values)
        model.__pydantic_fields_set__.update(changes)
        if self._comes_back is not None:
            keys = self.dump(model)
            return self._as_read(model, keys, changes), keys
        keys = self.written(model)
        # Reading validates the whole: fields that did not change are not coerced once more.
        read = self._read_back(model, keys)
        if difference(model, read, self._rules) is None:
            return read, keys
        if lost := [*self._lost_fields(model, read, keys, changes)]:
            raise UnstorableError(self._name, lost)
        return read, None

    def _as_read(self, model: B, keys: ObjectText, changed: Iterable[str]) -> B:
        """Return a model with the changed fields as its keys read, so that it shares no value with the caller."""
        texts = keys.raw
        for name in changed:
            read = self._field_readers[name]
            if read is None or name not in texts:  # an extra key, or a field that is not stored
                return self._read_back(model, keys)
            vars(model)[name] = read(bytes(texts[name]))
        return model

    def _validated(self, model: B, changes: Mapping[str, object]) -> dict[str, object]:
        unknown = changes.keys() - self._model.__pydantic_fields__
        if unknown and not self.open:
            known = ", ".join(self._model.__pydantic_fields__)
            raise InvalidArgumentError(f"{self._name} has no field {min(unknown)!r}; it has {known}")
        values: dict[str, object] = {}
        problems: list[tuple[str, str]] = []
        cause: ValidationError | None = None
        for name, value in changes.items():
            try:
                values[name] = self.fields.validated(model.__dict__, name, value)
            except ValidationError as exc:
                problems += problems_of(exc)
                cause = cause or exc
        if cause is not None:
            raise UnstorableError(self._name, problems) from without_values(cause)
        return values

    @cached_property
    def fields(self) -> FieldValues:
        """Validates and writes single fields."""
        return FieldValues(self._model, self._write)
