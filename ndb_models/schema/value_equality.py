"""Compares two values, type for type at every depth.

`==` is not enough: `True == 1 == 1.0`, and a class may compare less than it holds, or not compare at all.

- Types must be the same, of keys and of elements too. Zeros of floats differ by their signs.
- Models and dataclasses are compared by their fields, never by an `__eq__` of their own. Models are compared by their
  extras and private attributes too. Values that a property has cached do not count.
- The order of a dict counts for an `OrderedDict` alone.
- Times with a zone are the same at the same moment, even in different zones.
- Objects of other classes are the same if `==` and their public attributes say so. If `==` gives no verdict, they are
  the same if both are written as the same text.

The comparison answers one of two questions:

- Does a value come back as it was? Private attributes and excluded fields count, and NaN is never the same.
- Has a value changed? Only stored data counts, and NaN equals NaN. Another zone of Python's own is a change, and so are
  other digits of a Decimal.
"""

# The compared values have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import is_dataclass
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import AnyUrl, BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import MultiHostUrl, Url

from ndb_models.schema.value_kinds import (
    ABSENT,
    BY_BASE,
    BY_TEXT,
    EXACT,
    FACTORY_LOST,
    LOST,
    MAXLEN_LOST,
    UNDECIDED,
    are_one_moment,
    attributes,
    by_base,
    by_text,
    datetimes,
    decimals,
    drops_private,
    field_values,
    finder_by_value,
    floats,
    is_equal,
    not_stored,
    objects,
    times,
    with_defaults_as_read,
)

_FLAT: Final = EXACT | {float}

_URLS: Final = (*(base for base in AnyUrl.__mro__ if base is not object), Url, MultiHostUrl)


class Rules(NamedTuple):
    """The rules of a comparison.

    If `changes` is true, the question is whether a value has changed, else whether it comes back as it was.
    `drops_private` leaves private attributes out.
    """

    changes: bool = False
    drops_private: bool = False


OF_CHANGES: Final = Rules(changes=True)
"""The rules for the question whether a value has changed."""

_Pairs: TypeAlias = list[tuple[Any, Any]]
_Compare: TypeAlias = Callable[[Any, Any, _Pairs, Rules], str | None]
"""Compares two values of one type. It adds the values inside them to the pairs, to be compared next."""

# So many pairs are compared before a value is checked for holding itself.
_UNSUSPICIOUS: Final = 256


def difference(one: Any, other: Any, rules: Rules) -> str | None:
    """Return None if two values are the same, else how they differ, as the reason for a refusal.

    The result is `UNDECIDED` if the only possible difference is in objects that cannot be compared. Then the values are
    the same if both are written as the same text.

    Args:
        one: the value that was given.
        other: the value that was read in its place.
        rules: the rules of the comparison.
    """
    pairs: _Pairs = [(one, other)]
    steps, undecided = 0, None
    # Pairs that were met. Keeping them stops other values from taking their addresses.
    met: dict[tuple[int, int], tuple[Any, Any]] = {}
    while pairs:
        one, other = pair = pairs.pop()
        if one is other:
            continue
        kind: type[Any] = type(one)
        if kind is not type(other):
            return LOST
        if kind in EXACT:
            if one == other:
                continue
            return LOST
        steps += 1
        if steps > _UNSUSPICIOUS and met.setdefault((id(one), id(other)), pair) is not pair:
            continue  # it holds itself
        try:
            reason = (_known.get(kind) or _learn(kind))(one, other, pairs, rules)
        except Exception:  # noqa: BLE001 - attributes, zones and containers of a user's class may raise any error
            reason = UNDECIDED
        if reason is UNDECIDED:
            undecided = UNDECIDED
        elif reason is not None:
            return reason
    return undecided


def _sequences(one: Sequence[Any], other: Sequence[Any], pairs: _Pairs, rules: Rules) -> str | None:
    return _items([*one], [*other], pairs)


def _items(ours: Sequence[Any], theirs: Sequence[Any], pairs: _Pairs) -> str | None:
    kinds = [*map(type, ours)]
    if kinds != [*map(type, theirs)]:
        return LOST
    if EXACT.issuperset(kinds):
        return None if ours == theirs else LOST
    if _FLAT.issuperset(kinds) and ours == theirs and 0.0 not in ours:
        return None
    for kind, one, other in zip(kinds, ours, theirs, strict=True):
        if kind in EXACT:
            if one != other:
                return LOST
        elif not ((kind is float and one == other and one) or (kind is datetime and are_one_moment(one, other))):
            pairs.append((one, other))
    return None


def _deques(one: deque[Any], other: deque[Any], pairs: _Pairs, rules: Rules) -> str | None:
    return MAXLEN_LOST if one.maxlen != other.maxlen else _items([*one], [*other], pairs)


def _mappings(one: Mapping[Any, Any], other: Mapping[Any, Any], pairs: _Pairs, rules: Rules) -> str | None:
    ours, theirs = [*one], [*other]
    kinds = [*map(type, ours)]
    if EXACT.issuperset(kinds) and ours == theirs and kinds == [*map(type, theirs)]:
        return _items([*one.values()], [*other.values()], pairs)
    matched = _matched(ours, theirs, rules)
    if matched is None:
        return LOST
    pairs.extend((one[ours], other[theirs]) for ours, theirs in matched)
    return None


def _ordered(one: OrderedDict[Any, Any], other: OrderedDict[Any, Any], pairs: _Pairs, rules: Rules) -> str | None:
    return _items([*one], [*other], pairs) or _items([*one.values()], [*other.values()], pairs)


def _defaulting(one: defaultdict[Any, Any], other: defaultdict[Any, Any], pairs: _Pairs, rules: Rules) -> str | None:
    if not _make_the_same(one.default_factory, other.default_factory):
        return FACTORY_LOST
    return _mappings(one, other, pairs, rules)


def _make_the_same(one: Any, other: Any) -> bool:
    if one is other or one is None or other is None:
        return one is other
    try:
        return difference(one(), other(), Rules()) is None
    except Exception:  # noqa: BLE001 - a user's factory may raise any error
        return False


def _sets(one: Set[Any], other: Set[Any], pairs: _Pairs, rules: Rules) -> str | None:
    kinds = {*map(type, one)}
    if len(kinds) == 1 and EXACT.issuperset(kinds):
        return None if one == other and {*map(type, other)} == kinds else LOST
    return LOST if _matched(one, other, rules) is None else None


def _matched(ours: Collection[Any], theirs: Collection[Any], rules: Rules) -> _Pairs | None:
    """Return the pairs of elements that are the same; None if an element has no counterpart."""
    if len(ours) != len(theirs):
        return None
    by_value = finder_by_value(theirs)
    rest = {id(each): each for each in theirs}
    matched: _Pairs = []
    for each in ours:
        found = by_value(each)
        if id(found) not in rest or difference(each, found, rules) is not None:
            if type(each) in EXACT:
                return None
            # Not found by its own `==`, as for a time that occurs twice.
            found = next((other for other in rest.values() if difference(each, other, rules) is None), ABSENT)
            if found is ABSENT:
                return None
        matched.append((each, rest.pop(id(found))))
    return matched


def _models(one: BaseModel, other: BaseModel, pairs: _Pairs, rules: Rules) -> str | None:
    kind = type(one)
    if not rules.changes and (one.__pydantic_private__ or other.__pydantic_private__):
        reason = _private(one, other, rules)
        if reason is not None:
            return reason
    if one.__pydantic_extra__ or other.__pydantic_extra__:
        reason = _mappings(one.__pydantic_extra__ or {}, other.__pydantic_extra__ or {}, pairs, rules)
        if reason is not None:
            return reason
    # Not as attributes: reading a deprecated field would warn of its use.
    ours, theirs = one.__dict__, other.__dict__
    values_of = field_values(kind, rules.changes)
    reason = _items(values_of(ours), values_of(theirs), pairs)
    if reason is None:
        return None
    as_read = with_defaults_as_read(kind, ours, theirs)
    return reason if as_read is ours else _items(values_of(as_read), values_of(theirs), pairs)


def _private(one: BaseModel, other: BaseModel, rules: Rules) -> str | None:
    kind = type(one)
    if rules.drops_private or drops_private(kind):
        return None
    ours, theirs = one.__pydantic_private__ or {}, other.__pydantic_private__ or {}
    lost = lost_names(ours, theirs, rules)
    return not_stored(lost[0], kind) if lost else None


def lost_names(ours: Mapping[str, Any], theirs: Mapping[str, Any], rules: Rules) -> list[str]:
    """Return the names under which two mappings hold different values."""
    names = dict.fromkeys((*ours, *theirs))
    return [name for name in names if difference(ours.get(name, ABSENT), theirs.get(name, ABSENT), rules) is not None]


def _secrets(one: Secret[Any], other: Secret[Any], pairs: _Pairs, rules: Rules) -> str | None:
    pairs.append((one.get_secret_value(), other.get_secret_value()))
    return None


def _enums(one: Enum, other: Enum, pairs: _Pairs, rules: Rules) -> str | None:
    pairs.append((one.value, other.value))
    return None


def _floats(one: float, other: float, pairs: _Pairs, rules: Rules) -> str | None:
    return floats(one, other, nan=rules.changes)


def _decimals(one: Decimal, other: Decimal, pairs: _Pairs, rules: Rules) -> str | None:
    return decimals(one, other, digits=rules.changes)


def _datetimes(one: datetime, other: datetime, pairs: _Pairs, rules: Rules) -> str | None:
    return datetimes(one, other, zones=rules.changes)


def _dataclasses(one: object, other: object, pairs: _Pairs, rules: Rules) -> str | None:
    ours, theirs = attributes(one, other, beside_fields=not rules.changes)
    return _mappings(with_defaults_as_read(type(one), ours, theirs), theirs, pairs, rules)


def _by(compare: Callable[[Any, Any], str | None]) -> _Compare:
    return lambda one, other, _, __: compare(one, other)


# The first row with a base class of the type applies; the rows go from the particular to the general.
_COMPARISONS: Final[Sequence[tuple[type[Any] | tuple[type[Any], ...], _Compare]]] = (
    (Enum, _enums),
    (BaseModel, _models),
    ((Secret, SecretStr, SecretBytes), _secrets),
    (_URLS, _by(by_text)),
    (BY_TEXT, _by(by_text)),
    (float, _floats),
    (Decimal, _decimals),
    (datetime, _datetimes),
    (time, _by(times)),
    *((base, _by(by_base(base))) for base in BY_BASE),
    (deque, _deques),
    (OrderedDict, _ordered),
    (defaultdict, _defaulting),
    (Mapping, _mappings),
    (Set, _sets),
    (Sequence, _sequences),
    (object, _by(objects)),
)
_WITHOUT_ATTRIBUTES: Final = (Enum, BaseModel, PurePath, Secret, SecretStr, SecretBytes, *_URLS)

# A limit, since a program may create classes without end.
_MOST_KNOWN: Final = 1024
_known: dict[type[Any], _Compare] = {}


def _learn(kind: type[Any]) -> _Compare:
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    return _known.setdefault(kind, _comparison_of(kind))


def _comparison_of(kind: type[Any]) -> _Compare:
    """Return the comparison for values of a type: by its base class, and by any further attributes.

    A dataclass is compared by its fields, and by its base class if that has a comparison of its own.
    """
    base, compare = next(row for row in _COMPARISONS if issubclass(kind, row[0]))
    if is_dataclass(kind):
        return _dataclasses if base is object else _and_attributes(compare)
    if issubclass(kind, _WITHOUT_ATTRIBUTES) or kind is base or kind.__module__ == "builtins":
        return compare
    has_own_equality = base in _CONTAINERS and kind.__eq__ not in _EQUALITY_BY_ITEMS
    return _and_attributes(_and_by_itself(compare) if has_own_equality else compare)


_CONTAINERS: Final = (deque, OrderedDict, defaultdict, Mapping, Set, Sequence)
_EQUALITY_BY_ITEMS: Final[Collection[Any]] = [
    kind.__eq__ for kind in (dict, list, tuple, set, frozenset, deque, OrderedDict, Counter, Mapping, Set)
]


def _and_by_itself(compare: _Compare) -> _Compare:
    """Compare containers of a class with an `==` of its own: if it says that two differ, they do."""

    def compared(one: Any, other: Any, pairs: _Pairs, rules: Rules) -> str | None:
        return LOST if is_equal(one, other) is False else compare(one, other, pairs, rules)

    return compared


def _and_attributes(compare: _Compare) -> _Compare:
    def compared(one: Any, other: Any, pairs: _Pairs, rules: Rules) -> str | None:
        ours, theirs = attributes(one, other)
        reason = _mappings(ours, theirs, pairs, rules) if ours else None
        return reason or compare(one, other, pairs, rules)

    return compared
