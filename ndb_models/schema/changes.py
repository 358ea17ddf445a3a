"""The changes that a save writes: the fields of a model that have changed since it was read.

A field has changed if its text differs and its value, too, differs from the value that the stored text reads as. So the
order in which a set is written is no change, nor is the way other programs format JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Final, Generic, TypeVar

import msgspec
from pydantic import BaseModel
from pydantic_core import from_json

from ndb_models.errors import ProtocolError
from ndb_models.json_text import (
    NO_KEYS,
    UNREADABLE,
    ObjectText,
    join_raw_members,
    names_in,
    raw_members,
    split_members,
)
from ndb_models.raising import raise_without_context
from ndb_models.schema.lossless_fields import LosslessFields, field_reader
from ndb_models.schema.problems import NOT_JSON
from ndb_models.schema.value_equality import OF_CHANGES, difference, lost_names
from ndb_models.schema.value_kinds import ABSENT, UNDECIDED

B = TypeVar("B", bound=BaseModel)

NO_NAMES: Final = frozenset[str]()
NOTHING_BEFORE: Final[Mapping[str, msgspec.Raw]] = MappingProxyType({})


class Changes(msgspec.Struct, frozen=True, gc=False):
    """The changes that a save writes.

    Attributes:
        changed: the keys to write, as one object.
        removed: the keys to remove.
        names: the names of both.
        after: the text of all keys afterwards.
        before: the stored texts of all keys, without those that are unknown. Empty if no key changed.
        values: the values of the model, as `Stored.values`.
    """

    changed: ObjectText
    removed: Sequence[str]
    names: frozenset[str]
    after: bytes
    before: Mapping[str, msgspec.Raw] = NOTHING_BEFORE
    values: tuple[object, ...] | None = None


Differs = Callable[[object, bytes], bool]
"""Tells whether the value of a field differs from the value that a stored text of it reads as."""


class FieldComparisons(dict[str, Differs | None]):
    """How the fields of a class are compared; None for a field that is read with the others alone."""

    def __init__(self, model: type[BaseModel], fields: LosslessFields | None) -> None:
        self._model = model
        self._fields = fields

    def __missing__(self, name: str) -> Differs | None:
        if name not in self._model.__pydantic_fields__:  # an extra key: there is no end of their names
            return None
        if self._fields is not None:
            return self.setdefault(name, self._fields[name].differs)
        read = field_reader(self._model, name)
        if read is None:
            return self.setdefault(name, None)
        return self.setdefault(name, lambda value, text: difference(value, read(text), OF_CHANGES) is not None)


class TextChanges(Generic[B]):
    """Finds the changes of models of one class by the text that a model is written as.

    Args:
        model: the class.
        looked_up: the fields that other programs look for by their stored values. Such a field is written if it is not
            stored, even at its default.
        read: reads a model of the class.
        write: writes a model of the class.
        fields: the fields of the class, if `lossless_check` makes a claim of it.
    """

    def __init__(
        self,
        model: type[B],
        looked_up: Collection[str],
        read: Callable[[bytes], B],
        write: Callable[..., bytes],
        fields: LosslessFields | None,
    ) -> None:
        self._comparisons = FieldComparisons(model, fields)
        self._looked_up = frozenset(looked_up)
        self._read = read
        self._write = write

    def since(
        self,
        model: B,
        keys: ObjectText,
        before: bytes,
        unsure: frozenset[str] = frozenset(),
        values: tuple[object, ...] | None = None,
    ) -> Changes:
        """Return the changes of a model since it was read from the text `before`, or written as that text.

        Args:
            model: the model.
            keys: the keys that it is written as now.
            before: the text that is stored.
            unsure: keys with unknown stored values. They are written, or removed, even if they did not change.
            values: the values of the model, for the result.
        """
        if keys.text == before and not unsure:
            return Changes(NO_KEYS, (), unsure, before, NOTHING_BEFORE, values)
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
            differs = self._comparisons[name]
            if was is None and (name in unsure or name in self._looked_up):
                changed[name] = text
            elif was is None or differs is None:
                undecided.append(name)
            elif differs(model.__dict__[name], bytes(was)):
                changed[name] = text
            else:
                is_all = False
        if undecided:
            differing = {*changed_in_whole(model, keys, before, undecided, self._read, self._write)}
            changed.update({name: now[name] for name in undecided if name in differing and name in now})
            removed += [name for name in undecided if name in differing and name not in now]
            is_all = is_all and differing.issuperset(undecided)
        after = keys.text
        if not is_all:
            kept = {**stored, **changed}
            after = join_raw_members({name: kept[name] for name in kept if name not in removed})
        written = ObjectText(join_raw_members(changed), tuple(changed))
        return Changes(written, removed, frozenset((*changed, *removed)), after, stored, values)


def changed_in_whole(
    model: BaseModel,
    keys: ObjectText,
    before: bytes,
    names: Collection[str],
    read: Callable[[bytes], BaseModel],
    write: Callable[..., bytes],
) -> Iterator[str]:
    """Yield the fields whose values differ from those that the stored text reads as.

    Args:
        model: the model.
        keys: the keys that it is written as.
        before: the stored text, which is read whole.
        names: the fields in question.
        read: reads a model of the class.
        write: writes a model of the class.
    """
    try:
        stored = read(before)
    except Exception:  # noqa: BLE001 - it fitted when it was read; a validator may depend on the time or outside state
        differing = lost_names(from_json(keys.text), from_json(before), OF_CHANGES)
        yield from (name for name in names if name in differing)
        return
    again = FieldTexts(write, stored)
    for name in names:
        reason = difference(value_of(model, name), value_of(stored, name), OF_CHANGES)
        if reason is UNDECIDED:
            reason = again.settles(reason, name, keys[name] if name in keys.names else None)
        if reason is not None:
            yield name


class FieldTexts:
    """The texts of a model's fields, written when first asked for."""

    def __init__(self, write: Callable[..., bytes], model: BaseModel) -> None:
        self._write = write
        self._model = model

    def of(self, name: str) -> bytes | None:
        """Return the text of a field; None if it is left out, or if the model cannot be written as JSON."""
        try:
            return self._all.get(name)
        except NOT_JSON:
            return None

    def settles(self, reason: str | None, name: str, text: bytes | None) -> str | None:
        """Return None if the reason is `UNDECIDED` and the field is written as this text too; else the reason.

        The text of a field that is left out is None.
        """
        if reason is not UNDECIDED:
            return reason
        try:
            return None if self._all.get(name) == text else reason
        except NOT_JSON:
            return reason

    @cached_property
    def _all(self) -> Mapping[str, bytes]:
        return split_members(self._write(self._model))


def value_of(model: BaseModel, name: str) -> object:
    """Return the value of a field or an extra, or `ABSENT`. Attribute access would warn of a deprecated field."""
    if name in type(model).__pydantic_fields__:
        return model.__dict__.get(name, ABSENT)
    return (model.__pydantic_extra__ or {}).get(name, ABSENT)


def set_values(model: BaseModel, values: Mapping[str, object], names: Collection[str]) -> None:
    """Give a model the values of fields and extras, without validation. An extra without a value is removed."""
    fields, extras = type(model).__pydantic_fields__, model.__pydantic_extra__
    for name in names:
        if name in fields:
            vars(model)[name] = values[name]
            model.__pydantic_fields_set__.add(name)
        elif extras is not None and name in values:
            extras[name] = values[name]
            model.__pydantic_fields_set__.add(name)
        elif extras is not None:
            extras.pop(name, None)
            model.__pydantic_fields_set__.discard(name)


def check_is_object(text: bytes) -> None:
    """Raise `ProtocolError` if the keys that a server sent are no JSON object."""
    try:
        names_in(text)
    except UNREADABLE:
        raise_without_context(ProtocolError("what the server sent for the keys of a session is no JSON object"))
