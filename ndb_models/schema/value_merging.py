"""Merges two changes of one value: applies one change of a base to the result of another change.

- Dicts are merged by key, models, dataclasses and named tuples by field, each value inside by its own type.
- Sets are merged by the elements that were added and removed.
- Items that one change appended to a list, a tuple or a deque are appended to the result of the other.
- A mark may say how a value is merged, see `merge_marks`.
- Everything else is a whole: the later write wins.

The base of a new value is an empty one: of a key that both added, and of None that both replaced. A later write is
`mine`; it is applied to `theirs`, which was stored first.
"""

# The merged values have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import copy
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Generator, ItemsView, Mapping, Sequence
from dataclasses import is_dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import lru_cache
from types import GeneratorType
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import BaseModel

from ndb_models.schema.lossless import MOST_DIGITS
from ndb_models.schema.merge_marks import Merge
from ndb_models.schema.merge_rules import BY_STRUCTURE, MergeRule, rule_of_extras, rules_of
from ndb_models.schema.value_equality import OF_CHANGES, difference
from ndb_models.schema.value_kinds import ABSENT, EXACT, attributes, stored_names

_Merging: TypeAlias = Generator["_Merging", Any, Any]
"""Merges the parts of a value. It yields the merging of a part that has parts itself, and is sent the result."""

_Merge: TypeAlias = Callable[[Any, Any, Any, MergeRule], object]
"""Returns the merged value, or a generator that merges its parts."""


class ConflictFound(Exception):  # noqa: N818 - not an error: it says what was found to the caller, who knows the field
    """Both changed a value that is marked `Merge.conflict`."""


class NoSumFound(Exception):  # noqa: N818 - as above
    """The sum of two changes of a value that is marked `Merge.add` is too large to be exact."""


def merge_values(base: object, mine: object, theirs: object, rule: MergeRule) -> object:
    """Apply the change from `base` to `mine` to `theirs`, and return the result.

    The result shares no value with `mine` and `base`. It may share values with `theirs`.

    Args:
        base: the value that was read; `ABSENT` for none.
        mine: the changed value; `ABSENT` if it was removed.
        theirs: the value that is stored by now; `ABSENT` for none.
        rule: how the value is merged.

    Raises:
        ConflictFound: both changed a value that is marked `Merge.conflict`.
        NoSumFound: a sum is too large.
    """
    result = _merged(base, mine, theirs, rule)
    running: list[_Merging] = [result] if isinstance(result, GeneratorType) else []
    result = None if running else result
    while running:  # a stack of its own: values may be nested deeper than Python calls
        try:
            running.append(running[-1].send(result))
            result = None
        except StopIteration as done:
            running.pop()
            result = done.value
    return result


def is_same(one: object, other: object) -> bool:
    """Tell whether two values are the same, as far as is known; an object that cannot be compared differs."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    return one == other if kind in EXACT else difference(one, other, OF_CHANGES) is None


def is_mergeable(value: object) -> bool:
    """Tell whether a value is merged by its structure."""
    kind: Any = type(value)
    return _structure_of(kind) is not None


def _merged(base: Any, mine: Any, theirs: Any, rule: MergeRule) -> Any:
    """Return the merged value, or a generator that merges its parts. `ABSENT` stands for no value."""
    kind: Any = type(mine)
    if rule.mark in _STRUCTURAL and kind not in EXACT:
        structure = _structure_of(kind)
        # Containers are not compared as wholes before their parts are: that would take a pass for each level.
        if structure is not None and type(theirs) is kind:
            if type(base) is kind:
                return structure.merge(base, mine, theirs, rule)
            if structure.empty is not None and _is_nothing(base):
                return structure.merge(structure.empty, mine, theirs, rule)
    if is_same(base, mine):
        return theirs
    if is_same(base, theirs):
        return copied(mine)
    match rule.mark:
        case Merge.conflict:
            raise ConflictFound
        case Merge.add:
            return _sum(base, mine, theirs)
        case Merge.max:
            return _last_in_order(mine, theirs)
        case Merge.min:
            return _first_in_order(mine, theirs)
        case Merge.later | Merge.structure | None:
            return copied(mine)


_STRUCTURAL: Final = (None, Merge.structure)


def _is_nothing(value: object) -> bool:
    return value is None or value is ABSENT


# Sums of decimals are exact, or not made.
_DECIMALS: Final = Context(prec=MOST_DIGITS, traps=[Inexact, InvalidOperation, Overflow])


def _sum(base: Any, mine: Any, theirs: Any) -> Any:
    if mine is None:
        return None
    try:
        added = mine if _is_nothing(base) else _subtract(mine, base)
        result = added if _is_nothing(theirs) else _add(theirs, added)
    except TypeError:  # not numbers after all
        return mine
    except ArithmeticError:
        result = None
    if result is None or _is_infinite(result):
        if any(map(_is_infinite, (base, mine, theirs))):
            return mine
        raise NoSumFound
    kind: type[Any] = type(mine)
    return kind(result) if type(result) is not kind and issubclass(kind, type(result)) else result


def _is_infinite(value: Any) -> bool:
    """Tell whether a number is an infinity or NaN."""
    if isinstance(value, Decimal):
        return not value.is_finite()
    return isinstance(value, float) and not math.isfinite(value)


def _add(one: Any, other: Any) -> Any:
    return _DECIMALS.add(one, other) if isinstance(one, Decimal) else one + other


def _subtract(one: Any, other: Any) -> Any:
    return _DECIMALS.subtract(one, other) if isinstance(one, Decimal) else one - other


def _last_in_order(mine: Any, theirs: Any) -> Any:
    return _in_order(mine, theirs, lambda: mine < theirs)


def _first_in_order(mine: Any, theirs: Any) -> Any:
    return _in_order(mine, theirs, lambda: theirs < mine)


def _in_order(mine: Any, theirs: Any, theirs_wins: Callable[[], object]) -> Any:
    if mine is None:
        return theirs
    try:
        return theirs if not _is_nothing(theirs) and theirs_wins() is True else copied(mine)
    except TypeError:  # two types without an order, such as a time with a zone and one without
        return copied(mine)


def _mappings(base: Mapping[Any, Any], mine: Mapping[Any, Any], theirs: Any, rule: MergeRule) -> _Merging:
    result = copy.copy(theirs)
    for key in base:
        if key not in mine:
            _check_removal(base[key], theirs.get(key, ABSENT), rule.of(key))
            result.pop(key, None)
    of_values, members, of_members = rule.of_values, rule.members, rule.of_members
    for key, value in mine.items():
        inner = of_values if members is None else members.get(key, of_members)
        merged = _merged(base.get(key, ABSENT), value, theirs.get(key, ABSENT), inner)
        if isinstance(merged, GeneratorType):
            merged = yield merged
        if merged is not ABSENT:
            result[key] = merged
    return result


def _check_removal(base: object, theirs: object, rule: MergeRule) -> None:
    if rule.mark is Merge.conflict and not is_same(base, theirs):
        raise ConflictFound


def _counters(base: Mapping[Any, int], mine: Counter[Any], theirs: Counter[Any], rule: MergeRule) -> _Merging:
    return _mappings(base, mine, theirs, _COUNTS if rule.values is None else rule)


_COUNTS: Final = MergeRule(values=MergeRule(Merge.add))


def _ordered(base: Mapping[Any, Any], mine: OrderedDict[Any, Any], theirs: Any, rule: MergeRule) -> _Merging:
    result: OrderedDict[Any, Any] = yield _mappings(base, mine, theirs, rule)
    added_last = [*(key for key in base if key in mine), *(key for key in mine if key not in base)]
    if added_last != [*mine]:  # the order was changed
        for key in [*mine, *(key for key in theirs if key not in mine)]:
            if key in result:
                result.move_to_end(key)
    return result


def _sets(base: Collection[Any], mine: Collection[Any], theirs: Any, rule: MergeRule) -> object:
    before, now = _typed(base), _typed(mine)
    kept = _typed(theirs) - (before - now)
    return type(theirs)([*(each for each, _ in kept), *copied([each for each, _ in now - before])])


def _typed(elements: Collection[Any]) -> ItemsView[Any, type]:
    """Return the elements with their types, since 1 == True."""
    return dict(zip(elements, map(type, elements), strict=True)).items()


def _sequences(base: Sequence[Any], mine: Sequence[Any], theirs: Sequence[Any], rule: MergeRule) -> object:
    """Append the items that one change appended to the result of the other."""
    if _begins_with(mine, base):
        return _extended(theirs, copied([*mine][len(base) :]))
    if _begins_with(theirs, base):
        return _extended(copied(mine), [*theirs][len(base) :])
    return copied(mine)


def _begins_with(longer: Sequence[Any], start: Sequence[Any]) -> bool:
    return len(longer) >= len(start) and is_same([*longer][: len(start)], [*start])


def _extended(values: Any, further: list[Any]) -> Any:
    if isinstance(values, tuple):
        return (*values, *further)
    result = copy.copy(values)
    result.extend(further)
    return result


def _models(base: BaseModel, mine: BaseModel, theirs: BaseModel, rule: MergeRule) -> _Merging:
    kind: Any = type(mine)
    result, rules = copy.copy(theirs), rules_of(kind, rule.default)
    # Not as attributes: reading a deprecated field would warn, and a frozen model takes none.
    fields = vars(result)
    for name in [name for name in fields if name not in kind.__pydantic_fields__]:
        del fields[name]  # a property has cached it
    for name in stored_names(kind):
        before, now, stored = (vars(model).get(name, ABSENT) for model in (base, mine, theirs))
        merged = _merged(before, now, stored, rules[name])
        if isinstance(merged, GeneratorType):
            merged = yield merged
        if merged is not ABSENT:
            fields[name] = merged
    if mine.__pydantic_extra__ is not None:
        extras = (base.__pydantic_extra__ or {}, mine.__pydantic_extra__, theirs.__pydantic_extra__ or {})
        object.__setattr__(result, "__pydantic_extra__", (yield _mappings(*extras, rule_of_extras(kind, rule.default))))
    object.__setattr__(result, "__pydantic_fields_set__", theirs.model_fields_set | mine.model_fields_set)
    return result


def _dataclasses(base: Any, mine: Any, theirs: Any, rule: MergeRule) -> _Merging:
    kind: Any = type(mine)
    result, rules = copy.copy(theirs), rules_of(kind, rule.default)
    before, now = attributes(base, mine)
    for name, value in now.items():
        merged = _merged(before[name], value, getattr(theirs, name, ABSENT), rules.get(name, BY_STRUCTURE))
        if isinstance(merged, GeneratorType):
            merged = yield merged
        if merged is not ABSENT:
            object.__setattr__(result, name, merged)  # it may be frozen
    return result


def _named_tuples(base: Any, mine: Any, theirs: Any, rule: MergeRule) -> _Merging:
    kind: Any = type(mine)
    rules = rules_of(kind, rule.default)
    values: list[object] = []
    for name, before, now, stored in zip(kind._fields, base, mine, theirs, strict=True):
        merged = _merged(before, now, stored, rules.get(name, BY_STRUCTURE))
        values.append((yield merged) if isinstance(merged, GeneratorType) else merged)
    return kind._make(values)


class _Structure(NamedTuple):
    """How values of a type are merged. `empty` is the base of new ones; None if there is none."""

    merge: _Merge
    empty: Any = None


# The first row with a base class of the type applies.
_STRUCTURES: Final[Sequence[tuple[type[Any] | tuple[type[Any], ...], _Structure]]] = (
    (BaseModel, _Structure(_models)),
    (Counter, _Structure(_counters, {})),
    (OrderedDict, _Structure(_ordered, {})),
    (dict, _Structure(_mappings, {})),
    ((set, frozenset), _Structure(_sets, ())),
    ((list, deque), _Structure(_sequences, ())),
)


@lru_cache(maxsize=1024)
def _structure_of(kind: Any) -> _Structure | None:
    if kind is tuple:
        return _Structure(_sequences)  # without an empty one, since its length may be fixed
    if issubclass(kind, tuple):
        return _Structure(_named_tuples) if hasattr(kind, "_fields") else None
    found = next((structure for base, structure in _STRUCTURES if issubclass(kind, base)), None)
    return _Structure(_dataclasses) if found is None and is_dataclass(kind) else found


def copied(value: Any) -> Any:
    """Return a copy of a value that shares no part with it, as far as it can be copied."""
    kind = type(value)
    if kind in EXACT or value is ABSENT:
        return value
    values = value.values() if kind is dict else value if kind in (list, set, tuple) else ()
    if values and EXACT.issuperset(map(type, values)):
        return copy.copy(value)
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - the copying of a type may raise any error
        return value
