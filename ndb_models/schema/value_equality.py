"""Whether two values are the same: type for type at every depth.

Equal in Python is not enough: `True == 1 == 1.0`, a class may compare less than it holds, and may not compare at all.

- Types must be the same, of keys and of elements too. Decimals differ by their digits, zeros by their signs.
- Models and dataclasses are compared by their fields, models by their extras and private attributes too, never by an
  `__eq__` of their own. What a property has cached does not count.
- The order of a dict counts for an `OrderedDict` alone.
- Times with a zone are the same at the same moment, whatever their zones.
- Objects of other classes are the same if `==` and their public attributes say so. Where `==` says nothing, they are
  the same if both are written as the same text.

Two questions are asked. Whether a value comes back as it was: then private attributes and excluded fields count, and
NaN is never the same. And whether a value has changed: then only what is stored counts, NaN is NaN, and another zone of
Python's own is a change.
"""

# What is compared has no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import is_dataclass
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from pydantic import AnyUrl, BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import MultiHostUrl, Url

from ndb_models.schema.model import SessionModel
from ndb_models.schema.value_kinds import (
    ABSENT,
    BY_BASE,
    BY_TEXT,
    EXACT,
    LOST,
    attributes,
    by_base,
    by_text,
    datetimes,
    decimals,
    floats,
    objects,
    times,
)

MAXLEN_LOST: Final = (
    "the maxlen of its deque would be lost; let a validator set it:"
    " Annotated[deque[int], AfterValidator(lambda items: deque(items, 10))]"
)

_FLAT: Final = EXACT | {float}

_URLS: Final = (*(base for base in AnyUrl.__mro__ if base is not object), Url, MultiHostUrl)


def not_stored(name: str, kind: type) -> str:
    """Return the reason that a private attribute is refused for, and the way out."""
    return (
        f"the private attribute {name!r} of {kind.__name__} is not stored; make it a field, leave it at its default, or"
        ' let the session class leave it out: class S(SessionModel, private="drop")'
    )


class Rules(NamedTuple):
    """What counts in a comparison.

    `changes` asks whether a value has changed, else whether it comes back. `drops_private` leaves private attributes
    out. `same_text` tells whether both values, or what they are in, are written as the same text.
    """

    same_text: Callable[[], bool]
    changes: bool = False
    drops_private: bool = False


def is_same(one: object, other: object, rules: Rules) -> bool:
    """Tell whether two values are the same."""
    return difference(one, other, rules) is None


def difference(one: object, other: object, rules: Rules) -> str | None:
    """Return None if two values are the same, else in what they differ, as the reason of a refusal.

    Args:
        one: the value that was given.
        other: what was read in its place.
        rules: what counts.
    """
    pairs: list[tuple[Any, Any]] = [(one, other)]
    comparison = _Comparison(rules, pairs)
    # Pairs that were met, kept so that no other value takes their addresses: what holds itself is compared once.
    met: dict[tuple[int, int], tuple[Any, Any]] = {}
    while pairs:
        one, other = pair = pairs.pop()
        if one is other:
            continue
        kind: type[Any] = type(one)
        if kind is not type(other):
            return LOST
        if kind in EXACT:
            if one != other:
                return LOST
        elif met.setdefault((id(one), id(other)), pair) is pair:
            reason = _comparison_of(kind)(comparison, one, other)
            if reason is not None:
                return reason
    return None


class _Comparison(NamedTuple):
    """Compares two values of one type. What they hold is added to `pairs`, to be compared next."""

    rules: Rules
    pairs: list[tuple[Any, Any]]

    def sequences(self, one: Sequence[Any], other: Sequence[Any]) -> str | None:
        return self._items([*one], [*other])

    def _items(self, ours: list[Any], theirs: list[Any]) -> str | None:
        kinds = [*map(type, ours)]
        if kinds != [*map(type, theirs)]:
            return LOST
        if EXACT.issuperset(kinds):
            return None if ours == theirs else LOST
        if not (_FLAT.issuperset(kinds) and ours == theirs and 0.0 not in ours):
            self.pairs.extend(zip(ours, theirs, strict=True))
        return None

    def deques(self, one: deque[Any], other: deque[Any]) -> str | None:
        return MAXLEN_LOST if one.maxlen != other.maxlen else self.sequences(one, other)

    def mappings(self, one: Mapping[Any, Any], other: Mapping[Any, Any]) -> str | None:
        ours, theirs = [*one], [*other]
        kinds = [*map(type, ours)]
        if EXACT.issuperset(kinds) and ours == theirs and kinds == [*map(type, theirs)]:
            return self._items([*one.values()], [*other.values()])
        matched = self._matched(ours, theirs)
        if matched is None:
            return LOST
        self.pairs.extend((one[ours], other[theirs]) for ours, theirs in matched)
        return None

    def ordered(self, one: OrderedDict[Any, Any], other: OrderedDict[Any, Any]) -> str | None:
        return self._items([*one], [*other]) or self._items([*one.values()], [*other.values()])

    def with_factories(self, one: defaultdict[Any, Any], other: defaultdict[Any, Any]) -> str | None:
        return self.mappings(one, other) if _make_the_same(one.default_factory, other.default_factory) else LOST

    def sets(self, one: Set[Any], other: Set[Any]) -> str | None:
        kinds = {*map(type, one)}
        if len(kinds) == 1 and EXACT.issuperset(kinds):
            return None if one == other and {*map(type, other)} == kinds else LOST
        return LOST if self._matched(one, other) is None else None

    def _matched(self, ours: Collection[Any], theirs: Collection[Any]) -> list[tuple[Any, Any]] | None:
        """Return which element of the one is the same as which of the other; None if one is without its like."""
        if len(ours) != len(theirs):
            return None
        by_value = _by_value(theirs)
        rest = {id(each): each for each in theirs}
        matched: list[tuple[Any, Any]] = []
        for each in ours:
            found = by_value(each)
            if id(found) not in rest or not is_same(each, found, self.rules):
                if type(each) in EXACT:
                    return None
                # Equal by its own `==` to none, as a time that occurs twice is.
                found = next((other for other in rest.values() if is_same(each, other, self.rules)), ABSENT)
                if found is ABSENT:
                    return None
            matched.append((each, rest.pop(id(found))))
        return matched

    def models(self, one: BaseModel, other: BaseModel) -> str | None:
        reason = None if self.rules.changes else self._private(one, other)
        if reason is not None:
            return reason
        if one.__pydantic_extra__ or other.__pydantic_extra__:
            self.pairs.append((one.__pydantic_extra__ or {}, other.__pydantic_extra__ or {}))
        names = _stored_names(type(one)) if self.rules.changes else type(one).__pydantic_fields__
        # Not as attributes: what is deprecated has not been used by comparing it.
        ours, theirs = one.__dict__, other.__dict__
        return self._items([ours.get(name, ABSENT) for name in names], [theirs.get(name, ABSENT) for name in names])

    def _private(self, one: BaseModel, other: BaseModel) -> str | None:
        ours, theirs = one.__pydantic_private__ or {}, other.__pydantic_private__ or {}
        kind = type(one)
        if not (ours or theirs) or self.rules.drops_private or drops_private(kind):
            return None
        for name in {**ours, **theirs}:
            if not is_same(ours.get(name, ABSENT), theirs.get(name, ABSENT), self.rules):
                return not_stored(name, kind)
        return None

    def secrets(self, one: Secret[Any], other: Secret[Any]) -> str | None:
        self.pairs.append((one.get_secret_value(), other.get_secret_value()))
        return None

    def enums(self, one: Enum, other: Enum) -> str | None:
        self.pairs.append((one.value, other.value))
        return None

    def floats(self, one: float, other: float) -> str | None:
        return floats(one, other, nan=self.rules.changes)

    def decimals(self, one: Decimal, other: Decimal) -> str | None:
        return decimals(one, other, nan=self.rules.changes)

    def datetimes(self, one: datetime, other: datetime) -> str | None:
        return datetimes(one, other, zones=self.rules.changes)

    def dataclasses(self, one: object, other: object) -> str | None:
        return self.mappings(attributes(one), attributes(other))

    def objects(self, one: object, other: object) -> str | None:
        return objects(one, other, self.rules.same_text)


def _by_value(values: Collection[Any]) -> Callable[[Any], Any]:
    """Return what finds the one of these values that is equal to another by its hash; ABSENT if there is none."""
    try:
        equals = {each: each for each in values}
    except Exception:  # noqa: BLE001 - whatever the comparison of a type raises
        return lambda _: ABSENT

    def find(value: Any) -> Any:
        try:
            return equals.get(value, ABSENT)
        except Exception:  # noqa: BLE001 - as above
            return ABSENT

    return find


def drops_private(kind: type) -> bool:
    """Tell whether a class says that its private attributes need not come back."""
    return issubclass(kind, SessionModel) and kind.session_options.private == "drop"


def _make_the_same(one: Any, other: Any) -> bool:
    if one is other or one is None or other is None:
        return one is other
    try:
        return is_same(one(), other(), Rules(lambda: False))
    except Exception:  # noqa: BLE001 - whatever a factory of the user's raises
        return False


@lru_cache(maxsize=1024)
def _stored_names(model: type[BaseModel]) -> Iterable[str]:
    return [name for name, field in model.__pydantic_fields__.items() if field.exclude is not True]


_Compare = Callable[[_Comparison, Any, Any], str | None]


def _pure(compare: Callable[[Any, Any], str | None]) -> _Compare:
    return lambda _, one, other: compare(one, other)


# The first that a type is one of, from the particular to the general.
_COMPARISONS: Final[Sequence[tuple[type[Any] | tuple[type[Any], ...], _Compare]]] = (
    (Enum, _Comparison.enums),
    (BaseModel, _Comparison.models),
    ((Secret, SecretStr, SecretBytes), _Comparison.secrets),
    (_URLS, _pure(by_text)),
    (BY_TEXT, _pure(by_text)),
    (float, _Comparison.floats),
    (Decimal, _Comparison.decimals),
    (datetime, _Comparison.datetimes),
    (time, _pure(times)),
    *((base, _pure(by_base(base))) for base in BY_BASE),
    (deque, _Comparison.deques),
    (OrderedDict, _Comparison.ordered),
    (defaultdict, _Comparison.with_factories),
    (Mapping, _Comparison.mappings),
    (Set, _Comparison.sets),
    (Sequence, _Comparison.sequences),
    (object, _Comparison.objects),
)
_WITHOUT_ATTRIBUTES: Final = (Enum, BaseModel, PurePath, Secret, SecretStr, SecretBytes, *_URLS)


@lru_cache(maxsize=1024)
def _comparison_of(kind: type[Any]) -> _Compare:
    """Return how values of a type are compared: as what they are one of, and by the attributes that they have besides.

    A dataclass is its fields, and what it is one of otherwise.
    """
    base, compare = next(row for row in _COMPARISONS if issubclass(kind, row[0]))
    if is_dataclass(kind):
        return _Comparison.dataclasses if base is object else _and_attributes(compare)
    if issubclass(kind, _WITHOUT_ATTRIBUTES) or kind is base or kind.__module__ == "builtins":
        return compare
    return _and_attributes(compare)


def _and_attributes(compare: _Compare) -> _Compare:
    def compared(comparison: _Comparison, one: Any, other: Any) -> str | None:
        ours, theirs = attributes(one), attributes(other)
        reason = comparison.mappings(ours, theirs) if ours or theirs else None
        return reason or compare(comparison, one, other)

    return compared
