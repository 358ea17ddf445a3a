"""`Merge`, the mark that says how changes of a field are merged, and the types that it may stand on."""

# Annotations have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

from ndb_models.errors import SchemaError


class Merge(Enum):
    """How changes of a field are merged if another request has changed it since it was read.

    Marks a field: `visits: Annotated[int, Merge.add] = 0`. The field may be one of a nested model, dataclass, typed
    dict or named tuple. The values of a dict may be marked too: `dict[str, Annotated[int, Merge.add]]`. The class
    keyword `merge=` says how unmarked fields are merged: `structure`, `later` or `conflict`.

    Attributes:
        structure: by the structure of the value, see docs/concurrent_changes.md. The later write wins for a scalar.
        later: the later write wins for the whole value.
        add: the difference is added to the stored value. For numbers and `timedelta`.
        max: the greater value wins. For types with an order.
        min: the lesser value wins. For types with an order.
        conflict: the later write raises `ConflictError`.
    """

    structure = "structure"
    later = "later"
    add = "add"
    max = "max"
    min = "min"
    conflict = "conflict"


OF_CLASSES: Final = frozenset({Merge.structure, Merge.later, Merge.conflict})
"""What the class keyword `merge=` may be."""

NEED_COMPARISON: Final = frozenset({Merge.add, Merge.max, Merge.min, Merge.conflict})
"""Marks that promise something that takes a server that compares."""


_NUMBERS: Final = (int, float, Decimal, Fraction, timedelta)
_ORDERED: Final = (int, float, Decimal, str, bytes, date, time, timedelta, tuple)

WRITE: Final = "write Annotated[int, Merge.add], with the field's own type in place of int"
BARE: Final = "write Merge.add, Merge.max, Merge.min, Merge.later, Merge.structure or Merge.conflict, not Merge alone"
TWICE: Final = "it has two Merge marks; keep one"
MISPLACED: Final = (
    "a Merge mark is for a whole field or for the values of a dict; it cannot be kept inside of a list, a set, a tuple,"
    " a key or a union"
)
INSIDE_A_WHOLE: Final = "it is marked as a whole, so that the marks inside of it would not count: keep one of them"
UNMERGED: Final = (
    "{0} has Merge marks, and this field holds it where values are not merged part by part: inside of a list, a set, a"
    " tuple, a key, or a field that is marked as a whole. Use a dict with {0} as values, or leave the marks out"
)
_UNADDABLE: Final = (
    "Merge.add is for int, float, Decimal, Fraction and timedelta; for a dict of numbers mark its values:"
    " dict[str, Annotated[int, Merge.add]]. Sets and lists need no mark"
)
_UNORDERED: Final = (
    "Merge.{} needs a type with an order, such as int or datetime; for others leave the mark out, or write Merge.later"
)
EXCLUDED: Final = "it is excluded, so it is not stored, and a Merge mark does nothing: leave it out"


class UnfitMarkFound(Exception):  # noqa: N818 - it becomes a SchemaError where the field is known
    """A mark makes no sense where it stands. Its argument says why."""


def refuse_marks_as_types(model: str, annotations: Mapping[str, Any]) -> None:
    """Refuse marks in the place of a type, because Pydantic would take them for one.

    Raises:
        SchemaError: a mark is in the place of a type.
    """
    for name, annotation in annotations.items():
        if is_mark(annotation) or (isinstance(annotation, str) and annotation.startswith("Merge.")):
            raise SchemaError(model, name, WRITE)


def is_mark(metadata: object) -> bool:
    """Tell whether a piece of metadata is a mark, or the class in its place."""
    return metadata is Merge or isinstance(metadata, Merge)


def the_mark(marks: Iterable[Any]) -> Merge | None:
    """Return the mark of a value.

    Raises:
        UnfitMarkFound: there are several, or the class in place of one.
    """
    found = [*marks]
    if Merge in found:
        raise UnfitMarkFound(BARE)
    if len(found) > 1:
        raise UnfitMarkFound(TWICE)
    return found[0] if found else None


def check_fit(mark: Merge, member: Any) -> None:
    """Check that a mark fits a type.

    Raises:
        UnfitMarkFound: it does not.
    """
    if isinstance(member, TypeVar):  # it is checked again with a type in its place
        return
    is_literal = get_origin(member) is Literal
    for kind in {*map(type, get_args(member))} if is_literal else {get_origin(member) or member}:
        if mark is Merge.add and (is_literal or not _is_number(kind)):
            raise UnfitMarkFound(_UNADDABLE)
        if mark in (Merge.max, Merge.min) and not _is_ordered(kind, of_names=is_literal):
            raise UnfitMarkFound(_UNORDERED.format(mark.value))


def _is_number(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, _NUMBERS) and not issubclass(kind, (bool, Enum))


def _is_ordered(kind: Any, *, of_names: bool) -> bool:
    """Tell whether a type has an order. The names in a literal or an enum have none but that of their letters."""
    if not isinstance(kind, type) or issubclass(kind, (Set, Mapping)):
        return False
    if inspect.isfunction(getattr(kind, "__lt__", None)):
        return True
    return issubclass(kind, _ORDERED) and not (issubclass(kind, str) and (of_names or issubclass(kind, Enum)))
