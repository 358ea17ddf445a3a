"""From a type to a Hypothesis strategy for values that a store should keep. Needs the extra `testing`.

Hypothesis knows many types by itself. Here are those of Pydantic, and what holds others: models and collections,
since Hypothesis would leave fields with a default at that, and would make NaN and infinities.
"""

# Types are values here, and have none of their own.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import annotated_types
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.strategies import SearchStrategy
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    EmailStr,
    FutureDate,
    FutureDatetime,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    RootModel,
    SecretBytes,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from typing_extensions import is_typeddict

from ndb_models.errors import InvalidArgumentError

B = TypeVar("B", bound=BaseModel)

_A_FEW: Final = 3
"""Items of a collection beyond those that it must have."""

_URLS: Final = (
    "https://example.org/a/b?c=d&e=%20#f", "http://user:word@localhost:8080/", "wss://example.org/", "ftp://a.example/",
    "file:///tmp/a", "redis://localhost:6379/0", "postgres://u:p@localhost:5432/app", "mysql://u:p@localhost:3306/app",
    "mongodb://localhost:27017/", "amqp://localhost:5672/", "nats://localhost:4222/", "kafka://localhost:9092",
)  # fmt: skip

_numbers: Final = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_json_values: Final[SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(),
    lambda inner: st.lists(inner, max_size=_A_FEW) | st.dictionaries(st.text(), inner, max_size=_A_FEW),
    max_leaves=5,
)


def _local(least: datetime = datetime.min, most: datetime = datetime.max) -> SearchStrategy[datetime]:
    """Return a strategy for times without a zone. Their `fold` means nothing, and is not stored."""
    return st.datetimes(least, most).map(lambda at: at.replace(fold=0))


# Before 1972, the offsets of some zones had seconds, which JSON does not keep: a store refuses such times.
_zoned: Final = st.datetimes(min_value=datetime(1972, 2, 1), timezones=st.timezones())
_aware: Final = st.datetimes(timezones=st.just(UTC)) | _zoned
_now: Final = datetime.now()
_before, _after = _now - timedelta(days=2), _now + timedelta(days=2)

_KNOWN: Final[Mapping[Any, SearchStrategy[Any]]] = {
    Any: _json_values,
    object: _json_values,
    float: st.floats(allow_nan=False, allow_infinity=False),
    datetime: _local() | _aware,
    AwareDatetime: _aware,
    NaiveDatetime: _local(),
    PastDatetime: _local(most=_before),
    FutureDatetime: _local(_after),
    PastDate: st.dates(max_value=_before.date()),
    FutureDate: st.dates(min_value=_after.date()),
    SecretStr: st.text().map(SecretStr),
    SecretBytes: st.binary().map(SecretBytes),
    EmailStr: st.text("abcxyz0189", min_size=1, max_size=8).map("{}@example.org".format),
    bool: st.booleans(),
    bytes: st.binary(),
    date: st.dates(),
    int: st.integers(),
    str: st.text(),
    time: st.times().map(lambda at: at.replace(fold=0)),
    type(None): st.none(),
}


class _UnknownTypeError(InvalidArgumentError):
    """Hypothesis makes no values of a type."""


class _Sizes(NamedTuple):
    """The least and the most items of a collection."""

    least: int
    most: int


class TypeStrategies:
    """Makes strategies, one for each model, so that a model may hold itself.

    With `only_required`, fields that have a default stay at that.
    """

    def __init__(self, *, only_required: bool = False) -> None:
        self._only_required = only_required
        self._models: dict[type[BaseModel], SearchStrategy[Any]] = {}

    def of_model(self, model: type[B]) -> SearchStrategy[B]:
        """Return a strategy for valid instances. Used, it raises `InvalidArgumentError` if a field has no values."""
        if model not in self._models:
            self._models[model] = st.deferred(lambda: self._instances(model))
        return self._models[model]

    def _instances(self, model: type[B]) -> SearchStrategy[B]:
        required: dict[str, SearchStrategy[Any]] = {}
        optional: dict[str, SearchStrategy[Any]] = {}
        for name, field in model.__pydantic_fields__.items():
            if field.exclude is True or (self._only_required and not field.is_required()):
                continue  # a field that is not stored must stay at its default
            try:
                (required if field.is_required() else optional)[name] = self.of(field.annotation, field.metadata)
            except _UnknownTypeError:
                if field.is_required():
                    raise InvalidArgumentError(
                        f"{model.__name__}.{name}: Hypothesis makes no values of this type; give instances, or register"
                        " a strategy for the type: hypothesis.strategies.register_type_strategy"
                    ) from None
        if issubclass(model, RootModel):
            return _valid(st.one_of(*required.values(), *optional.values()), model)
        values = st.fixed_dictionaries(required, optional=optional)
        return _valid(values, lambda given: model.model_validate(given, by_alias=False, by_name=True))

    def of(self, kind: Any, metadata: Sequence[Any] = ()) -> SearchStrategy[Any]:
        """Return a strategy for a type with its constraints. Most of what it makes is valid.

        Raises:
            InvalidArgumentError: there is none.
        """
        marks = [*_flat(metadata)]
        origin, args = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self.of(args[0], [*args[1:], *metadata])
        if hasattr(kind, "__value__"):  # a named type, which may hold itself
            return _json_values if kind.__name__ == "JsonValue" else self.of(kind.__value__, metadata)
        if origin in (Union, types.UnionType):
            return st.one_of([self.of(each, metadata) for each in args])
        if isinstance(kind, TypeVar):
            return _json_values
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return self.of_model(kind)
        collection = origin if origin is not None else kind
        if isinstance(collection, type) and _is_collection(collection):
            return self._collection(collection, args, _sizes(marks))
        inside = self._fields(kind)
        return _leaf(kind, marks) if inside is None else inside

    def _collection(self, kind: type, args: tuple[Any, ...], sizes: _Sizes) -> SearchStrategy[Any]:
        if issubclass(kind, Mapping):
            key, value = (self.of(each) for each in (args if len(args) == 2 else (str, Any)))
            return _hashed(st.dictionaries(key, value, min_size=sizes.least, max_size=sizes.most))
        if issubclass(kind, tuple) and args and args[-1] is not ...:
            return st.tuples(*map(self.of, args))
        items = self.of(args[0] if args else Any)
        if issubclass(kind, Set):
            sets = st.frozensets if issubclass(kind, frozenset) else st.sets
            return _hashed(sets(items, min_size=sizes.least, max_size=sizes.most))
        lists = st.lists(items, min_size=sizes.least, max_size=sizes.most)
        return lists.map(tuple) if issubclass(kind, tuple) else lists

    def _fields(self, kind: Any) -> SearchStrategy[Any] | None:
        """Return a strategy for a dataclass, a named tuple or a typed dict; None for another type."""
        if is_typeddict(kind):
            hints = {name: self.of(hint) for name, hint in get_type_hints(kind).items()}
            needed = {name: hints.pop(name) for name in kind.__required_keys__}
            return st.fixed_dictionaries(needed, optional=hints)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            hints = get_type_hints(kind, include_extras=True)
            named = {field.name: self.of(hints[field.name]) for field in dataclasses.fields(kind) if field.init}
        elif isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
            named = {name: self.of(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}
        else:
            return None
        return _valid(st.fixed_dictionaries(named), _maker(kind))


def _is_collection(kind: type) -> bool:
    """Tell whether a class holds items, and is one of Python's own."""
    if kind.__module__ not in ("builtins", "collections", "collections.abc"):
        return False
    return issubclass(kind, Iterable) and not issubclass(kind, (str, bytes, bytearray))


def _leaf(kind: Any, marks: Sequence[Any]) -> SearchStrategy[Any]:
    """Return a strategy for a type that holds no others, by its constraints."""
    constraints = [mark for mark in marks if isinstance(mark, annotated_types.BaseMetadata)]
    if isinstance(kind, type) and issubclass(kind, AnyUrl):
        return _valid(st.sampled_from(_URLS), kind)
    if kind is Decimal:
        bounds = {"min_value": _told(marks, "ge", "gt"), "max_value": _told(marks, "le", "lt")}
        return st.decimals(allow_nan=False, allow_infinity=False, places=_told(marks, "decimal_places"), **bounds)
    if kind is str and isinstance(pattern := _told(marks, "pattern"), str):
        return _matching(pattern)
    if version := _told(marks, "uuid_version"):
        return st.uuids(version=version)
    if kind in _KNOWN and not constraints:
        return _KNOWN[kind]
    try:
        thing: Any = Annotated[kind, *constraints] if constraints else kind
        values = st.from_type(thing)
        values.validate()
    except (HypothesisException, TypeError, ValueError, NameError):
        raise _UnknownTypeError("there is no strategy for this type") from None
    return values.filter(math.isfinite) if kind is float else _hashed(values)


def _matching(pattern: str) -> SearchStrategy[str]:
    """Return a strategy for texts that a pattern is found in."""
    whole = pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith(r"\$") and "|" not in pattern
    # Hypothesis pads a pattern at either side, which takes it most of the time, and ends it with a newline for `$`.
    return st.from_regex(pattern[1:-1], fullmatch=True) if whole else st.from_regex(pattern)


def _maker(kind: Any) -> Callable[[Any], Any]:
    return lambda values: kind(**values)


def _told(marks: Sequence[Any], *names: str) -> Any:
    """Return what constraints say under one of these names; None if they say nothing."""
    return next((getattr(mark, name) for mark in marks for name in names if hasattr(mark, name)), None)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    """Yield the constraints of a type, one by one."""
    for mark in metadata:
        if isinstance(mark, FieldInfo):
            yield from _flat(mark.metadata)
        elif isinstance(mark, annotated_types.GroupedMetadata):
            yield from _flat(mark)
        else:
            yield mark


def _sizes(marks: Sequence[Any]) -> _Sizes:
    least = max((mark.min_length for mark in marks if isinstance(mark, annotated_types.MinLen)), default=0)
    most = min((mark.max_length for mark in marks if isinstance(mark, annotated_types.MaxLen)), default=least + _A_FEW)
    return _Sizes(least, max(least, min(most, least + _A_FEW)))


def _valid(values: SearchStrategy[Any], make: Callable[[Any], Any]) -> SearchStrategy[Any]:
    """Return a strategy for what a function makes of values, leaving out those that it refuses."""

    def made(value: Any) -> Any:
        try:
            return make(value)
        except (ValidationError, ValueError, TypeError, AssertionError):
            reject()

    return values.map(made)


@st.composite
def _hashed(draw: st.DrawFn, values: SearchStrategy[Any]) -> Any:
    """Draw values, leaving out what a class of a user refuses to make, or cannot be in a set."""
    try:
        return draw(values)
    except (ValidationError, ValueError, TypeError, AssertionError):
        reject()
