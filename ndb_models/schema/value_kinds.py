"""Compares two values of one type, other than collections and models: numbers, times, texts, other objects.

Each comparison returns None if the values are the same, else the reason for a refusal. The values have no static types.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from math import copysign, isnan
from operator import itemgetter
from pathlib import PurePath
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import TzInfo

LOST: Final = (
    "it would not come back as it is from JSON; assign what the field declares, or declare a type, or a serializer,"
    " that does"
)
ZONE_LOST: Final = (
    "it would come back without its zone; store a datetime, or give it an offset that is always the same, such as"
    " timezone(timedelta(hours=1))"
)
FOLD_LOST: Final = (
    "fold=1 of a time without a zone would come back as fold=0; set fold=0, or store a time with a zone"
    " (ZonedDatetime keeps it)"
)
MAXLEN_LOST: Final = (
    "the maxlen of its deque would be lost; let a validator set it:"
    " Annotated[deque[int], AfterValidator(lambda items: deque(items, 10))]"
)
FACTORY_LOST: Final = (
    "the default_factory of its defaultdict would be another one; use what the field declares: list for"
    " defaultdict[str, list[int]]"
)
READ_ONCE: Final = "an iterator is used up when it is written; declare a list"

UNDECIDED: Final = (
    "what was read of it cannot be compared with it, and is written otherwise; give its class an __eq__, or declare a"
    " type that has one"
)
"""Not a verdict yet: the reason for a refusal, unless both are written as the same text."""

ABSENT: Final = object()
"""Stands for a missing value."""

EXACT: Final = frozenset({type(None), bool, int, str, bytes, date, timedelta, UUID})
"""Types with an exact `==`: equal values are the same."""


def drops_private(kind: type) -> bool:
    """Tell whether a class declares that its private attributes need not come back."""
    options: Any = getattr(kind, "session_options", None)  # by name: the module of session models imports this one
    return options is not None and options.private == "drop"


@lru_cache(maxsize=1024)
def stored_names(model: type[BaseModel]) -> Collection[str]:
    """Return the names of the fields of a class that are stored."""
    return [name for name, field in model.__pydantic_fields__.items() if field.exclude is not True]


@lru_cache(maxsize=1024)
def field_values(model: type[BaseModel], stored: bool) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Return a function that returns the values of all fields of a class, or of those that are `stored`.

    It takes all values by their names. `ABSENT` stands for a missing value.
    """
    names = tuple(stored_names(model) if stored else model.__pydantic_fields__)

    def one_by_one(values: Mapping[str, Any]) -> Sequence[Any]:
        return [values.get(name, ABSENT) for name in names]

    if len(names) < 2:  # of one name, `itemgetter` returns no tuple
        return one_by_one
    together: Callable[[Mapping[str, Any]], Sequence[Any]] = itemgetter(*names)

    def values_of(values: Mapping[str, Any]) -> Sequence[Any]:
        try:
            return together(values)
        except KeyError:  # an attribute was deleted
            return one_by_one(values)

    return values_of


def finder_by_value(values: Collection[Any]) -> Callable[[Any], Any]:
    """Return a lookup by hash, which takes a value and returns the equal one among these, or ABSENT."""
    try:
        equals = {each: each for each in values}
    except Exception:  # noqa: BLE001 - the comparison of a type may raise any error
        return lambda _: ABSENT

    def find(value: Any) -> Any:
        try:
            return equals.get(value, ABSENT)
        except Exception:  # noqa: BLE001 - as above
            return ABSENT

    return find


def not_stored(name: str, kind: type) -> str:
    """Return the reason for refusing a private attribute, with the remedy."""
    return (
        f"the private attribute {name!r} of {kind.__name__} is not stored; make it a field, leave it at its default, or"
        ' let the session class leave it out: class S(SessionModel, private="drop")'
    )


# Type checkers take `price: float = 1`, and neither Pydantic nor a dataclass validates defaults.
_TAKE_WHOLE_NUMBERS: Final = (float, Decimal)


def is_whole_number_of(default: object, read: object) -> bool:
    """Tell whether a default is a whole number, and was read as a float or a Decimal of that value."""
    return type(default) is int and type(read) in _TAKE_WHOLE_NUMBERS and default == read


def with_defaults_as_read(kind: type, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a model or a dataclass, with whole-number defaults as read: 1.0 for `price: float = 1`.

    Args:
        kind: the class.
        ours: the fields of the object that was given.
        theirs: the fields that were read.
    """
    whole_numbers = _whole_numbers(kind)
    if not whole_numbers:
        return ours
    read = {
        name: theirs[name]
        for name, default in whole_numbers.items()
        if ours.get(name) is default and is_whole_number_of(default, theirs.get(name))
    }
    return {**ours, **read} if read else ours


@lru_cache(maxsize=1024)
def _whole_numbers(kind: type) -> Mapping[str, int]:
    """Return the defaults of a model or a dataclass that are whole numbers."""
    declared: Any = getattr(kind, "__pydantic_fields__", None)
    if declared is None:
        declared = {field.name: field for field in fields(kind)}
    return {name: field.default for name, field in declared.items() if type(field.default) is int}


def floats(one: float, other: float, *, nan: bool) -> str | None:
    """Compare two floats; zeros differ by their signs. NaN equals NaN if `nan` is true."""
    if isnan(one) or isnan(other):
        return None if nan and isnan(one) and isnan(other) else LOST
    return None if float.__eq__(one, other) and copysign(1, one) == copysign(1, other) else LOST


def decimals(one: Decimal, other: Decimal, *, digits: bool) -> str | None:
    """Compare two decimals. If `digits` is true, `1.50` differs from `1.5`, and NaN equals NaN."""
    same = one.compare_total(other) == 0 if digits else not one.is_nan() and Decimal.__eq__(one, other)
    return None if same else LOST


def datetimes(one: datetime, other: datetime, *, zones: bool) -> str | None:
    """Compare two datetimes: by their moment if they have a zone, else as they are.

    `==` does not serve: Python holds a time that occurs twice, or never, unequal to the same moment in any other zone.

    Args:
        one: a datetime.
        other: one of the same type.
        zones: true if the zones must be the same too. A zone that Pydantic reads (`TzInfo`) is exempt.
    """
    if type(one) is datetime and are_one_moment(one, other):
        return None
    ours, theirs = _offset(one), _offset(other)
    if ours is None or theirs is None or one.tzinfo is None:
        return _without_offset(one, other)
    if _naive(one) - _naive(other) != ours - theirs:
        return LOST
    if zones and TzInfo not in (type(one.tzinfo), type(other.tzinfo)) and _zone(one) != _zone(other):
        return LOST
    return LOST if type(one) is not datetime and is_equal(one, other) is False else None


_FIXED: Final = frozenset({timezone, TzInfo})
"""Types of zones with one offset, always."""


def are_one_moment(one: datetime, other: datetime) -> bool:
    """Tell whether two times are surely the same, of which the second is as Pydantic reads it. Never raises."""
    return type(other.tzinfo) is TzInfo and type(one.tzinfo) in _FIXED and one == other


def times(one: time, other: time) -> str | None:
    """Compare two times of the day: by the time minus the offset if they have one, else as they are."""
    ours, theirs = _offset(one), _offset(other)
    if ours is None or theirs is None or one.tzinfo is None:
        return _without_offset(one, other)
    return None if _since_midnight(one) - ours == _since_midnight(other) - theirs else LOST


def _without_offset(one: Any, other: Any) -> str | None:
    if (one.tzinfo is None) != (other.tzinfo is None) or (_offset(one) is None) != (_offset(other) is None):
        return ZONE_LOST
    if one.replace(tzinfo=None) != other.replace(tzinfo=None):
        return LOST
    return FOLD_LOST if one.fold != other.fold else None


def _offset(moment: datetime | time) -> timedelta | None:
    return moment.utcoffset()


def _naive(moment: datetime) -> datetime:
    return datetime.combine(datetime.date(moment), datetime.time(moment))


def _since_midnight(moment: time) -> timedelta:
    return timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond)


def _zone(moment: datetime) -> object:
    key: object = getattr(moment.tzinfo, "key", None)
    return moment.utcoffset() if key is None else key


def by_base(base: type[Any]) -> Callable[[Any, Any], str | None]:
    """Return a comparison by the `==` of a type, even if a subclass overrides it."""
    equals: Any = base.__eq__

    def compared(one: Any, other: Any) -> str | None:
        return None if equals(one, other) is True else LOST

    return compared


def by_text(one: object, other: object) -> str | None:
    """Compare two values by their texts: paths, URLs, complex numbers."""
    return None if str(one) == str(other) else LOST


BY_BASE: Final = (
    *(str, int, bytes, bytearray, date, timedelta, range, UUID, Fraction, re.Pattern),
    *(IPv4Interface, IPv6Interface, IPv4Address, IPv6Address, IPv4Network, IPv6Network),
)
BY_TEXT: Final = (PurePath, complex)


def objects(one: object, other: object) -> str | None:
    """Compare two objects of any other class by `==`, without their attributes.

    The result is `UNDECIDED` if the class has no `==` of its own, or one that raises or gives no bool, as for arrays. A
    class is the same as itself alone. Iterators are refused.
    """
    if isinstance(one, type):
        return LOST  # a class is the same as itself alone
    if isinstance(one, Iterator):
        return READ_ONCE
    equal = is_equal(one, other)
    return UNDECIDED if equal is None else None if equal else LOST


def is_equal(one: object, other: object) -> bool | None:
    """Return the result of `==` for two objects of one class.

    Returns None if the class has no `==` of its own, or one that raises or gives no bool.
    """
    if type(one).__eq__ is object.__eq__:
        return None
    try:
        equal: object = one == other
    except Exception:  # noqa: BLE001 - the comparison of a type may raise any error
        return None
    return equal if type(equal) is bool else None


def attributes(
    one: object, other: object, *, beside_fields: bool = False
) -> tuple[dict[str, object], dict[str, object]]:
    """Return the public attributes of two objects of one class; for dataclasses, the fields and any extras.

    Values that a property has cached are left out. With `beside_fields`, a dataclass has all its public attributes.
    """
    kind = type(one)
    if is_dataclass(kind):
        ours, theirs = (getattr(each, "__dict__", None) for each in (one, other))
        if ours is not None and theirs is not None and (*ours,) == (*theirs,) == _field_names(kind):
            return ours, theirs
    names = dict.fromkeys((*_names(one, beside_fields), *_names(other, beside_fields)))
    return {name: getattr(one, name, ABSENT) for name in names}, {name: getattr(other, name, ABSENT) for name in names}


@lru_cache(maxsize=1024)
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple([field.name for field in fields(kind)])


def _names(value: object, beside_fields: bool) -> Iterator[str]:
    kind = type(value)
    own: Any = getattr(value, "__dict__", ())
    declared: Sequence[str] = ()
    if is_dataclass(kind):
        declared = _field_names(kind)
        yield from declared
        config: Any = getattr(kind, "__pydantic_config__", None) or {}
        if config.get("extra") == "allow":
            yield from own
    if beside_fields or not is_dataclass(kind):
        others = (name for name in (*_slots(kind), *own) if name not in declared)
        yield from (name for name in others if not (name.startswith("_") or _cached(kind, name)))


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        slots: Any = base.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _cached(kind: type, name: str) -> bool:
    """Tell whether the class computes this attribute, so that the instance only caches it."""
    for base in kind.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            return hasattr(found, "__get__") and not isinstance(found, (MemberDescriptorType, GetSetDescriptorType))
    return False
