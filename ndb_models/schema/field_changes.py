"""Finds the changes of a model field by field, for classes of which `lossless_check` makes a claim.

A field of an immutable type that holds the object that was read or saved has not changed. Only the other fields are
written, and compared with their stored text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from operator import is_not, itemgetter
from typing import Any

import msgspec
from pydantic import BaseModel

from ndb_models.json_text import NO_KEYS, ObjectText, join_raw_members, raw_members
from ndb_models.schema.changes import NO_NAMES, NOTHING_BEFORE, Changes
from ndb_models.schema.lossless import MOST_DIGITS, has_long_number
from ndb_models.schema.lossless_fields import LosslessFields
from ndb_models.schema.problems import NOT_JSON
from ndb_models.schema.value_equality import OF_CHANGES, difference


class FieldChanges:
    """Finds the changes of models of one class.

    Args:
        fields: the fields of the class.
    """

    def __init__(self, fields: LosslessFields) -> None:
        self._fields = fields
        self._immutable = fields.immutable
        self._mutable = fields.mutable
        # The text that was split last, and its members: a model is often looked at again, as after a save.
        self._split: tuple[bytes, Mapping[str, msgspec.Raw]] = (b"", {})
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
            values: what `values_of` returned then.
        """
        given, fields = model.__dict__, self._fields
        try:
            now = self.values_of(given)
            names = (*compress(self._immutable, map(is_not, now, values)), *self._mutable)
            if not names:
                return Changes(NO_KEYS, [], NO_NAMES, before, NOTHING_BEFORE, now)
            split = self._split
            if split[0] is not before:
                split = self._split = (before, raw_members(before))
            stored = split[1]
            changed: dict[str, msgspec.Raw] = {}
            for name in names:
                value, was = given[name], stored[name]
                read, to_json, _, comes_back, _ = fields[name]
                if not comes_back(value):
                    return None
                text = to_json(value, by_alias=False, round_trip=True, warnings=False)
                if len(text) > MOST_DIGITS and has_long_number(text):
                    return None
                member = msgspec.Raw(text)
                if member != was and difference(value, read(bytes(was)), OF_CHANGES) is not None:
                    changed[name] = member
        except (KeyError, *NOT_JSON):  # an attribute was deleted, a field is not stored
            return None
        if not changed:
            return Changes(NO_KEYS, [], NO_NAMES, before, NOTHING_BEFORE, now)
        written = ObjectText(join_raw_members(changed), tuple(changed))
        members = {**stored, **changed}
        after = join_raw_members(members)
        self._split = (after, members)
        return Changes(written, [], frozenset(changed), after, stored, now)


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[object, ...]]:
    """Return a function that returns the values of these names as a tuple."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple([values[name] for name in names])
