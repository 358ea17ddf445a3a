"""`Merge`, the mark that says how changes of a field are merged; and the rules that the annotations of a class give.

A mark stands on a field, of a session or of a class nested in it, or on the values of a dict.
"""

# Annotations have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import wraps
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from ndb_models.errors import SchemaError
from ndb_models.schema.field_types import field_types


class Merge(Enum):
    """How changes of a field are merged if another request has changed it since it was read.

    Marks a field: `visits: Annotated[int, Merge.add] = 0`. The field may be one of a nested model, dataclass, typed
    dict or named tuple. The values of a dict may be marked too: `dict[str, Annotated[int, Merge.add]]`. The class
    keyword `merge=` says how unmarked fields are merged: `structure`, `later` or `conflict`.

    Attributes:
        structure: by the structure of the value, see docs/repository.md. The later write wins for a scalar.
        later: the later write wins for the whole value.
        add: what was added or subtracted is added to what is stored. For numbers and `timedelta`.
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


@dataclass(frozen=True, slots=True)
class MergeRule:
    """How a value is merged.

    Attributes:
        mark: the mark of the value itself. Without one, None, it is merged by its structure.
        values: the rule of the values of a mapping.
        members: the rules of the members of a typed dict.
    """

    mark: Merge | None = None
    values: MergeRule | None = None
    members: Mapping[str, MergeRule] | None = None

    def of(self, key: Any) -> MergeRule:
        """Return the rule of a value in a mapping."""
        if self.members is not None:
            return self.members.get(key, BY_STRUCTURE)
        return self.values or BY_STRUCTURE


BY_STRUCTURE: Final = MergeRule()

_NUMBERS: Final = (int, float, Decimal, Fraction, timedelta)
_ORDERED: Final = (int, float, Decimal, str, bytes, date, time, timedelta, tuple)
_WRAPPERS: Final = (Annotated, Required, NotRequired)

_WRITE: Final = "write Annotated[int, Merge.add], with the field's own type in place of int"
_BARE: Final = "write Merge.add, Merge.max, Merge.min, Merge.later, Merge.structure or Merge.conflict, not Merge alone"
_TWICE: Final = "it has two Merge marks; keep one"
_MISPLACED: Final = (
    "a Merge mark is for a whole field or for the values of a dict; it cannot be kept inside of a list, a set, a tuple,"
    " a key or a union"
)
_INSIDE_A_WHOLE: Final = "it is marked as a whole, so that the marks inside of it would not count: keep one of them"
_UNADDABLE: Final = (
    "Merge.add is for int, float, Decimal, Fraction and timedelta; for a dict of numbers mark its values:"
    " dict[str, Annotated[int, Merge.add]]. Sets and lists need no mark"
)
_UNORDERED: Final = (
    "Merge.{} needs a type with an order, such as int or datetime; for others leave the mark out, or write Merge.later"
)
_EXCLUDED: Final = "it is excluded, so it is not stored, and a Merge mark does nothing: leave it out"


_Rules: TypeAlias = Callable[[Any], Mapping[str, MergeRule]]


def _once_a_class(rules: _Rules) -> _Rules:
    """Have a function of a class run once, and keep its result as long as the class exists."""
    known: WeakKeyDictionary[Any, Mapping[str, MergeRule]] = WeakKeyDictionary()

    @wraps(rules)
    def known_rules(kind: Any) -> Mapping[str, MergeRule]:
        if kind not in known:
            known[kind] = rules(kind)
        return known[kind]

    return known_rules


class _Unfit(Exception):  # noqa: N818 - the reason of a SchemaError, which its catcher knows the field for
    pass


@_once_a_class
def _declared(kind: Any) -> Mapping[str, MergeRule]:
    rules: dict[str, MergeRule] = {}
    for name, (annotation, metadata) in field_types(kind).items():
        try:
            rules[name] = _rule(annotation, metadata, ())
        except _Unfit as exc:
            problem = str(exc)
        else:
            continue
        raise SchemaError(kind.__name__, name, problem)
    return rules


@_once_a_class
def rules_of(kind: Any) -> Mapping[str, MergeRule]:
    """Return the rules of the stored fields of a model, a dataclass, a typed dict or a named tuple, by name.

    The class keyword `merge=` applies to fields without a mark, at any depth.

    Raises:
        SchemaError: a mark makes no sense where it stands.
    """
    rules, default = _declared(kind), default_of(kind)
    if default is Merge.structure:
        return rules
    types_of = field_types(kind)

    def is_marked(name: str) -> bool:
        inside = nested_in([types_of[name].annotation])
        return rules[name] != BY_STRUCTURE or any(
            rule != BY_STRUCTURE for each in inside for rule in _declared(each).values()
        )

    return {name: rule if is_marked(name) else MergeRule(default) for name, rule in rules.items()}


def default_of(kind: type[Any]) -> Merge:
    """Return what the class keyword `merge=` of a class says."""
    options: Any = getattr(kind, "session_options", None)  # by name: the module of session models imports this one
    default: Merge = Merge.structure if options is None else options.merge
    return default


def check_marks(model: type[BaseModel]) -> None:
    """Check the marks of a class, and of all classes nested in it.

    Raises:
        SchemaError: a mark makes no sense where it stands.
    """
    for name, field in model.__pydantic_fields__.items():
        if field.exclude is True and any(map(_is_mark, field.metadata)):
            raise SchemaError(model.__name__, name, _EXCLUDED)
        if _is_mark(field.default):
            raise SchemaError(model.__name__, name, _WRITE)
    for kind in nested_in([model]):
        rules_of(kind)


def refuse_marks_as_types(model: str, annotations: Mapping[str, Any]) -> None:
    """Refuse marks in the place of a type, because Pydantic would take them for one.

    Raises:
        SchemaError: a mark is in the place of a type.
    """
    for name, annotation in annotations.items():
        if _is_mark(annotation) or (isinstance(annotation, str) and annotation.startswith("Merge.")):
            raise SchemaError(model, name, _WRITE)


def nested_in(annotations: Iterable[Any]) -> Iterator[Any]:
    """Yield the classes with fields that annotations hold, at every depth, each once."""
    pending, seen = [*annotations], list[Any]()
    while pending:
        annotation = pending.pop()
        if any(annotation is each for each in seen):
            continue
        seen.append(annotation)
        pending += [part for part in _parts(annotation) if not _is_mark(part)]
        if isinstance(annotation, type) and not get_args(annotation):
            found = field_types(annotation)
            if found:
                yield annotation
            pending += [field.annotation for field in found.values()]


def needs_comparison(name: str, model: Any) -> bool:
    """Tell whether a field, or a part of it at any depth, has a mark that takes a server that compares."""
    rules = [rules_of(model)[name]]
    for kind in nested_in([model.__pydantic_fields__[name].annotation]):
        rules += rules_of(kind).values()
    return any(mark in NEED_COMPARISON for rule in rules for mark in _marks_in(rule))


def _marks_in(rule: MergeRule) -> Iterator[Merge]:
    if rule.mark is not None:
        yield rule.mark
    for inner in (*((rule.values,) if rule.values else ()), *(rule.members or {}).values()):
        yield from _marks_in(inner)


def _is_mark(metadata: object) -> bool:
    return metadata is Merge or isinstance(metadata, Merge)


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the parts that an annotation is written of, and what an alias stands for."""
    yield from get_args(annotation)
    for named in ("__value__", "__supertype__"):  # a `type` statement, and NewType
        if hasattr(annotation, named):
            yield getattr(annotation, named)
        elif hasattr(get_origin(annotation), named):
            yield getattr(get_origin(annotation), named)


def _rule(annotation: Any, metadata: Iterable[Any], around: tuple[Any, ...]) -> MergeRule:
    """Return the rule of a value. `around` holds the annotations that it is inside of."""
    marks = [each for each in metadata if _is_mark(each)]
    members = [*_members(annotation, marks, ())]
    if Merge in marks:
        raise _Unfit(_BARE)
    if len(marks) > 1:
        raise _Unfit(_TWICE)
    inner = _inner_rule(members, (*around, annotation)) if annotation not in around else BY_STRUCTURE
    if not marks:
        return inner
    if inner != BY_STRUCTURE and marks != [Merge.structure]:
        raise _Unfit(_INSIDE_A_WHOLE)
    for member in members:
        _check_fit(marks[0], member)
    return MergeRule(marks[0], inner.values, inner.members)


def _members(annotation: Any, marks: list[Any], aliases: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the types that a value may have but None, past aliases and metadata. Marks of the whole are collected."""
    origin = get_origin(annotation)
    if origin in _WRAPPERS:
        marks += [each for each in getattr(annotation, "__metadata__", ()) if _is_mark(each)]
        yield from _members(get_args(annotation)[0], marks, aliases)
    elif origin in (Union, types.UnionType):
        others = [each for each in get_args(annotation) if each is not type(None)]
        for member in others:
            inside = marks if len(others) == 1 else list[Any]()
            yield from _members(member, inside, aliases)
            if inside and inside is not marks:
                raise _Unfit(_MISPLACED)
    elif hasattr(annotation, "__value__") and annotation not in aliases:
        yield from _members(annotation.__value__, marks, (*aliases, annotation))
    elif hasattr(annotation, "__supertype__"):
        yield from _members(annotation.__supertype__, marks, aliases)
    elif annotation is not type(None) and annotation is not None:
        yield annotation


def _inner_rule(members: list[Any], around: tuple[Any, ...]) -> MergeRule:
    """Return the rule without a mark of its own, of a value that has one of these types."""
    rules: list[MergeRule] = []
    for member in members:
        origin = get_origin(member) or member
        parts = [part for part in get_args(member) if not isinstance(part, (list, str))]
        if isinstance(origin, type) and issubclass(origin, Mapping) and len(parts) == 2:
            key, value = parts
            values = _rule(value, (), around)
            parts = [key]
            rules.append(MergeRule(values=values) if values != BY_STRUCTURE else BY_STRUCTURE)
        elif isinstance(origin, type) and hasattr(origin, "__total__"):
            rules.append(_typed_dict_rule(origin, around))
        else:
            rules.append(BY_STRUCTURE)
        if origin is not Literal and any(_rule(part, (), around) != BY_STRUCTURE for part in parts):
            raise _Unfit(_MISPLACED)
    if len(rules) > 1 and any(rule != BY_STRUCTURE for rule in rules):
        raise _Unfit(_MISPLACED)
    return rules[0] if rules else BY_STRUCTURE


def _typed_dict_rule(kind: type[Any], around: tuple[Any, ...]) -> MergeRule:
    rules = {name: _rule(field.annotation, field.metadata, around) for name, field in field_types(kind).items()}
    marked = {name: rule for name, rule in rules.items() if rule != BY_STRUCTURE}
    return MergeRule(members=marked) if marked else BY_STRUCTURE


def _check_fit(mark: Merge, member: Any) -> None:
    if isinstance(member, TypeVar):  # it is checked again with a type in its place
        return
    is_literal = get_origin(member) is Literal
    for kind in {*map(type, get_args(member))} if is_literal else {get_origin(member) or member}:
        if mark is Merge.add and not _is_number(kind):
            raise _Unfit(_UNADDABLE)
        if mark in (Merge.max, Merge.min) and not _is_ordered(kind, of_names=is_literal):
            raise _Unfit(_UNORDERED.format(mark.value))


def _is_number(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, _NUMBERS) and not issubclass(kind, (bool, Enum))


def _is_ordered(kind: Any, *, of_names: bool) -> bool:
    """Tell whether a type has an order. The names in a literal or an enum have none but that of their letters."""
    if not isinstance(kind, type) or issubclass(kind, (Set, Mapping)):
        return False
    if inspect.isfunction(getattr(kind, "__lt__", None)):
        return True
    return issubclass(kind, _ORDERED) and not (issubclass(kind, str) and (of_names or issubclass(kind, Enum)))
