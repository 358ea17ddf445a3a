"""The rules by which the fields of a class are merged, as its annotations give them.

A mark stands on a field, of a session or of a class nested in it, or on the values of a dict.
"""

# Annotations have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Final, Literal, NotRequired, Required, TypeVar, Union, get_args, get_origin
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from ndb_models.errors import SchemaError
from ndb_models.schema.field_types import FieldType, field_types
from ndb_models.schema.merge_marks import (
    EXCLUDED,
    INSIDE_A_WHOLE,
    MISPLACED,
    NEED_COMPARISON,
    UNMERGED,
    WRITE,
    Merge,
    UnfitMarkFound,
    check_fit,
    is_mark,
    the_mark,
)

_WRAPPERS: Final = (Annotated, Required, NotRequired)


@dataclass(frozen=True, slots=True)
class MergeRule:
    """How a value is merged.

    Attributes:
        mark: the mark of the value itself. Without one, None, it is merged by its structure.
        values: the rule of the values of a mapping.
        members: the rules of the members of a typed dict.
        default: how fields inside of it are merged that have no mark, as the class keyword of the session says.
    """

    mark: Merge | None = None
    values: MergeRule | None = None
    members: Mapping[str, MergeRule] | None = None
    default: Merge = Merge.structure

    def of(self, key: Any) -> MergeRule:
        """Return the rule of a value in a mapping."""
        return self.of_values if self.members is None else self.members.get(key, self.of_members)

    @property
    def of_values(self) -> MergeRule:
        """The rule of the values of a mapping that is no typed dict."""
        if self.values is not None:
            return self.values
        return BY_STRUCTURE if self.default is Merge.structure else MergeRule(default=self.default)

    @property
    def of_members(self) -> MergeRule:
        """The rule of the members of a typed dict, and of extras, that are not marked."""
        return BY_STRUCTURE if self.default is Merge.structure else MergeRule(self.default)

    def with_default(self, default: Merge) -> MergeRule:
        """Return the rule with another default, also for the values inside."""
        values = self.values.with_default(default) if self.values is not None else None
        members = self.members
        if members is not None:
            members = {name: member.with_default(default) for name, member in members.items()}
        return MergeRule(self.mark, values, members, default)


BY_STRUCTURE: Final = MergeRule()


T = TypeVar("T")


def _once_a_class(function: Callable[[Any], T]) -> Callable[[Any], T]:
    """Have a function of a class run once, and keep its result as long as the class exists."""
    known: WeakKeyDictionary[Any, T] = WeakKeyDictionary()

    @wraps(function)
    def known_result(kind: Any) -> T:
        if kind not in known:
            known[kind] = function(kind)
        return known[kind]

    return known_result


@_once_a_class
def _declared(kind: Any) -> Mapping[str, MergeRule]:
    rules: dict[str, MergeRule] = {}
    for name, (annotation, metadata) in field_types(kind).items():
        try:
            rules[name] = _rule(annotation, metadata, ())
        except UnfitMarkFound as exc:
            problem = str(exc)
        else:
            continue
        raise SchemaError(kind.__name__, name, problem)
    return rules


def rules_of(kind: Any, default: Merge = Merge.structure) -> Mapping[str, MergeRule]:
    """Return the rules of the stored fields of a model, a dataclass, a typed dict or a named tuple, by name.

    The class keyword `merge=` applies to fields without a mark, at any depth.

    Args:
        kind: the class.
        default: what the class keyword of the session around it says. A session has its own.

    Raises:
        SchemaError: a mark makes no sense where it stands.
    """
    known, default = _defaulted(kind), default_of(kind, default)
    rules = known.get(default)
    if rules is None:
        rules = known[default] = {
            name: rule.with_default(default) if is_marked else MergeRule(default)
            for name, (rule, is_marked) in _marked(kind).items()
        }
    return rules


@_once_a_class
def _defaulted(kind: Any) -> dict[Merge, Mapping[str, MergeRule]]:
    """Return the rules by the defaults that were asked for so far."""
    return {Merge.structure: _declared(kind)}


def _marked(kind: Any) -> Mapping[str, tuple[MergeRule, bool]]:
    """Return the declared rules, and for each whether the field, or a class in it, has a mark."""
    rules, types_of = _declared(kind), field_types(kind)

    def is_marked(name: str) -> bool:
        inside = nested_in([types_of[name].annotation])
        return rules[name] != BY_STRUCTURE or any(
            rule != BY_STRUCTURE for each in inside for rule in _declared(each).values()
        )

    return {name: (rule, is_marked(name)) for name, rule in rules.items()}


def default_of(kind: type[Any], default: Merge = Merge.structure) -> Merge:
    """Return the value of the class keyword `merge=`; the given default for a class that is no session."""
    options: Any = getattr(kind, "session_options", None)  # by name: the module of session models imports this one
    said: Merge = default if options is None else options.merge
    return said


def rule_of_extras(kind: type[Any], default: Merge) -> MergeRule:
    """Return the rule of the extras of a model, taken as a mapping. Arguments are those of `rules_of`."""
    return MergeRule(values=MergeRule(default=default_of(kind, default)).of_members)


def check_marks(model: type[BaseModel]) -> None:
    """Check the marks of a class, and of all classes nested in it.

    Raises:
        SchemaError: a mark makes no sense where it stands.
    """
    for name, field in model.__pydantic_fields__.items():
        if field.exclude is True and any(map(is_mark, field.metadata)):
            raise SchemaError(model.__name__, name, EXCLUDED)
        if is_mark(field.default):
            raise SchemaError(model.__name__, name, WRITE)
    for kind in nested_in([model]):
        for each, typed in field_types(kind).items():
            _check_wholes(kind, each, typed)


def _check_wholes(kind: Any, name: str, field: FieldType) -> None:
    """Check that no class with marks is a part of a value that is not merged part by part."""
    by_parts = _declared(kind)[name].mark in (None, Merge.structure)
    wholes = _wholes_in(field.annotation, ()) if by_parts else [field.annotation]
    for inner in nested_in(wholes):
        if any(mark in NEED_COMPARISON for rule in rules_of(inner).values() for mark in _marks_in(rule)):
            raise SchemaError(kind.__name__, name, UNMERGED.format(inner.__name__))


def _wholes_in(annotation: Any, around: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the parts of a type with values that are not merged part by part: items, elements and keys."""
    for member in _members(annotation, [], ()) if annotation not in around else ():
        parts = [*get_args(member)] if get_origin(member) is not Literal else []
        if _is_mapping(member):
            yield from _wholes_in(parts.pop(), (*around, annotation))
        yield from parts


def _is_mapping(member: Any) -> bool:
    origin = get_origin(member)
    return isinstance(origin, type) and issubclass(origin, Mapping) and len(get_args(member)) == 2


def nested_in(annotations: Iterable[Any]) -> Iterator[Any]:
    """Yield the classes with fields that annotations hold, at every depth, each once."""
    pending, seen = [*annotations], list[Any]()
    while pending:
        annotation = pending.pop()
        if any(annotation is each for each in seen):
            continue
        seen.append(annotation)
        pending += [part for part in _parts(annotation) if not is_mark(part)]
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


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the parts of an annotation. The part of an alias is its target."""
    yield from get_args(annotation)
    aliased = _aliased(annotation)
    if aliased is not None:
        yield aliased


def _aliased(annotation: Any) -> Any:
    """Return the target of a `type` statement or a NewType; None for other annotations."""
    origin = get_origin(annotation)
    alias = origin if hasattr(origin, "__value__") else annotation
    if not hasattr(alias, "__value__"):
        return getattr(annotation, "__supertype__", None)
    value = alias.__value__
    return value[get_args(annotation)] if get_args(annotation) and getattr(value, "__parameters__", ()) else value


def _rule(annotation: Any, metadata: Iterable[Any], around: tuple[Any, ...]) -> MergeRule:
    """Return the rule of a value. `around` holds the annotations that it is inside of."""
    marks = [each for each in metadata if is_mark(each)]
    members = [*_members(annotation, marks, ())]
    mark = the_mark(marks)
    inner = _inner_rule(members, (*around, annotation)) if annotation not in around else BY_STRUCTURE
    if mark is None:
        return inner
    if inner != BY_STRUCTURE and mark is not Merge.structure:
        raise UnfitMarkFound(INSIDE_A_WHOLE)
    for member in members:
        check_fit(mark, member)
    return MergeRule(mark, inner.values, inner.members)


def _members(annotation: Any, marks: list[Any], aliases: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the types that a value may have but None, past aliases and metadata. Marks of the whole are collected."""
    origin = get_origin(annotation)
    if origin in _WRAPPERS:
        marks += [each for each in getattr(annotation, "__metadata__", ()) if is_mark(each)]
        yield from _members(get_args(annotation)[0], marks, aliases)
    elif origin in (Union, types.UnionType):
        others = [each for each in get_args(annotation) if each is not type(None)]
        for member in others:
            inside = marks if len(others) == 1 else list[Any]()
            yield from _members(member, inside, aliases)
            if inside and inside is not marks:
                raise UnfitMarkFound(MISPLACED)
    elif _aliased(annotation) is not None and annotation not in aliases:
        yield from _members(_aliased(annotation), marks, (*aliases, annotation))
    elif annotation is not type(None):
        yield annotation


def _inner_rule(members: list[Any], around: tuple[Any, ...]) -> MergeRule:
    """Return the rule of an unmarked value with one of these types."""
    rules: list[MergeRule] = []
    for member in members:
        origin = get_origin(member) or member
        parts = [part for part in get_args(member) if not isinstance(part, (list, str))]
        if _is_mapping(member):
            values = _rule(parts.pop(), (), around)
            rules.append(MergeRule(values=values) if values != BY_STRUCTURE else BY_STRUCTURE)
        elif isinstance(origin, type) and hasattr(origin, "__total__"):
            rules.append(_typed_dict_rule(origin, around))
        else:
            rules.append(BY_STRUCTURE)
        if origin is not Literal and any(_rule(part, (), around) != BY_STRUCTURE for part in parts):
            raise UnfitMarkFound(MISPLACED)
    if len(rules) > 1 and any(rule != BY_STRUCTURE for rule in rules):
        raise UnfitMarkFound(MISPLACED)
    return rules[0] if rules else BY_STRUCTURE


def _typed_dict_rule(kind: type[Any], around: tuple[Any, ...]) -> MergeRule:
    rules = {name: _rule(field.annotation, field.metadata, around) for name, field in field_types(kind).items()}
    marked = {name: rule for name, rule in rules.items() if rule != BY_STRUCTURE}
    return MergeRule(members=marked) if marked else BY_STRUCTURE
