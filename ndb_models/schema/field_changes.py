"""Finds the changes of a model field by field, for classes of which `lossless_check` makes a claim.

A field of an immutable type that holds the object that was read or saved has not changed. Only the other fields are
written, and compared with their stored text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from operator import is_not, itemgetter
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from ndb_models.json_text import NO_KEYS, ObjectText, join_raw_members, raw_members
from ndb_models.schema.changes import NO_NAMES, NOTHING_BEFORE, Changes
from ndb_models.schema.lossless import MOST_DIGITS, has_long_number
from ndb_models.schema.lossless_fields import LosslessFields
from ndb_models.schema.problems import NOT_JSON

# Bytes of a text that takes longer to split than an equal one takes to join.
_LONG: Final = 1024


class FieldChanges:
    """Finds the changes of models of one class.

    Args:
        fields: the fields of the class.
    """

    def __init__(self, fields: LosslessFields) -> None:
        self._fields = fields
        self._immutable = fields.immutable
        self._mutable = fields.mutable
        self._place_of = {name: place for place, name in enumerate(fields.immutable)}
        # The text that was split last, and its members: a model is often looked at again, as after a save.
        self._split: tuple[bytes, Mapping[str, msgspec.Raw]] = (b"", {})
        # A stored text, and the latest text of fields that were found unchanged against it.
        self._same: tuple[bytes, bytes] = (b"", b"")
        self.count: int = len(fields.immutable) + len(fields.mutable)
        """The number of fields."""
        self.values_of: Callable[[Mapping[str, Any]], tuple[object, ...]] = _getter(fields.immutable)
        """Returns the values of the fields of immutable types, given all values by their names."""

    def values_read(self, model: BaseModel) -> tuple[object, ...] | None:
        """Return the values of a model that was just read, as `values_of`; None if not all its fields were stored."""
        return self.values_of(model.__dict__) if len(model.__pydantic_fields_set__) == self.count else None

    def since(self, model: BaseModel, before: bytes, values: tuple[object, ...]) -> Changes | None:
        """Return the changes of a model since it was read from a text that has all its fields, or written as that text.

        None if they are not found so: a value may not come back equal, or a field is not stored.

        Args:
            model: the model.
            before: the text that is stored.
            values: the earlier result of `values_of`.
        """
        given, fields = model.__dict__, self._fields
        try:
            now = self.values_of(given)
            looked_at: dict[str, object] = {}
            undecided = [*self._mutable]
            for name in compress(self._immutable, map(is_not, now, values)):
                value, field = given[name], fields[name]
                if type(value) not in field.kinds or not (field.look is None or field.look(value)):
                    return None  # as `comes_back`, without a call
                looked_at[name] = value
                if not (field.differs_if_unequal and value != values[self._place_of[name]]):
                    undecided.append(name)
            for name in self._mutable:
                value, field = given[name], fields[name]
                if type(value) not in field.kinds or not (field.look is None or field.look(value)):
                    return None
                looked_at[name] = value
            if not looked_at:
                return Changes(NO_KEYS, (), NO_NAMES, before, NOTHING_BEFORE, now)
            text = fields.to_json(looked_at, by_alias=False, round_trip=True, warnings=False)
            if len(text) > MOST_DIGITS and has_long_number(text):
                return None
            same, split = self._same, self._split
            if text == same[1] and before is same[0]:
                return Changes(NO_KEYS, (), NO_NAMES, before, NOTHING_BEFORE, now)
            if split[0] is not before:
                split = self._split = (before, raw_members(before))
            stored = split[1]
            if len(text) > _LONG and len(looked_at) == len(self._mutable) and text == _joined(stored, looked_at):
                return Changes(NO_KEYS, (), NO_NAMES, before, NOTHING_BEFORE, now)
            changed = raw_members(text)
            for name in undecided:
                was = stored[name]
                if changed[name] == was or not fields[name].differs(looked_at[name], bytes(was)):
                    del changed[name]
        except (KeyError, *NOT_JSON):  # an attribute was deleted, a field is not stored
            return None
        if not changed:
            self._same = (before, text)
            return Changes(NO_KEYS, (), NO_NAMES, before, NOTHING_BEFORE, now)
        return self._changes(stored, changed, text, len(looked_at), now)

    def _changes(
        self,
        stored: Mapping[str, msgspec.Raw],
        changed: Mapping[str, msgspec.Raw],
        text: bytes,
        written: int,
        values: tuple[object, ...],
    ) -> Changes:
        """Return the changes that replace some stored members.

        Args:
            stored: the members that are stored.
            changed: those that replace some of them.
            text: an object that has them, among others.
            written: the number of its members.
            values: as `values_of`.
        """
        if len(changed) < written:
            text = join_raw_members(changed)
        members = {**stored, **changed}
        after = join_raw_members(members)
        self._split = (after, members)
        return Changes(ObjectText(text, tuple(changed)), (), frozenset(changed), after, stored, values)


def _joined(members: Mapping[str, msgspec.Raw], names: Iterable[str]) -> bytes:
    """Return the object of some of the members."""
    return join_raw_members({name: members[name] for name in names})


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[object, ...]]:
    """Return a function that returns the values of these names as a tuple."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple([values[name] for name in names])
