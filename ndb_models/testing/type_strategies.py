"""Hypothesis strategies for the types of fields. Needs the extra `testing`.

Hypothesis has strategies for many types. This module adds Pydantic's types, and builds models and collections itself:
Hypothesis would make NaN and infinities, and would never change a field from its default.
"""

# Types are values here, so they have no type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
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
    """Return a strategy for times without a zone, and without `fold`, which is not stored for them."""
    return st.datetimes(least, most).map(lambda at: at.replace(fold=0))


# Earlier offsets of some zones have seconds. JSON does not keep these, so a store refuses such times.
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
    """Hypothesis makes no values of a type. `where` is the field, if it is known."""

    def __init__(self, where: str = "") -> None:
        self.where = where
        super().__init__(
            f"{where}: Hypothesis makes no values of this type; give instances, or register a strategy for the type:"
            " hypothesis.strategies.register_type_strategy"
        )


class _Sizes(NamedTuple):
    """The least and the most items of a collection."""

    least: int
    most: int


class TypeStrategies:
    """Makes strategies: one for each class, since classes may refer to themselves.

    With `only_required`, fields with a default keep it.
    """

    def __init__(self, *, only_required: bool = False) -> None:
        self._only_required = only_required
        self._made: dict[Any, SearchStrategy[Any]] = {}

    def of_model(self, model: type[B]) -> SearchStrategy[B]:
        """Return a strategy for valid instances.

        Raises:
            InvalidArgumentError: Hypothesis has no strategy for the type of a required field.
        """
        return self._once(model, lambda: self._instances(model))

    def _once(self, kind: Any, make: Callable[[], SearchStrategy[Any]]) -> SearchStrategy[Any]:
        """Return the strategy of a type. While it is being made, references to the type get a deferred strategy."""
        if kind not in self._made:
            made: list[SearchStrategy[Any]] = []
            self._made[kind] = st.deferred(lambda: made[0] if made else st.nothing())
            try:
                made.append(make())
            except _UnknownTypeError:
                del self._made[kind]
                raise
        return self._made[kind]

    def _instances(self, model: type[B]) -> SearchStrategy[B]:
        required: dict[str, SearchStrategy[Any]] = {}
        optional: dict[str, SearchStrategy[Any]] = {}
        for name, field in model.__pydantic_fields__.items():
            if field.exclude is True or (self._only_required and not field.is_required()):
                continue  # an excluded field must keep its default
            if field.is_required():
                required[name] = self._of_field(model, name, field.annotation, field.metadata)
            else:
                with contextlib.suppress(_UnknownTypeError):
                    optional[name] = self.of(field.annotation, field.metadata)
        if issubclass(model, RootModel):
            return _valid(st.one_of(*required.values(), *optional.values()), model)
        values = st.fixed_dictionaries(required, optional=optional)
        return _valid(values, lambda given: model.model_validate(given, by_alias=False, by_name=True))

    def _of_field(self, owner: type, name: str, kind: Any, metadata: Sequence[Any] = ()) -> SearchStrategy[Any]:
        try:
            return self.of(kind, metadata)
        except _UnknownTypeError as exc:
            raise _UnknownTypeError(exc.where or f"{owner.__name__}.{name}") from None

    def of(self, kind: Any, metadata: Sequence[Any] = ()) -> SearchStrategy[Any]:
        """Return a strategy for a type with its constraints. It makes few invalid values.

        Raises:
            InvalidArgumentError: Hypothesis has no strategy for the type.
        """
        constraints = [*_single(metadata)]
        origin, args = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self.of(args[0], [*args[1:], *metadata])
        if hasattr(kind, "__value__"):  # a named type
            if isinstance(kind.__value__, str) and kind.__name__ != "JsonInput":
                raise _UnknownTypeError  # its names may be defined anywhere
            is_json = kind.__name__ in ("JsonValue", "JsonInput")
            return _json_values if is_json else self._once(kind, lambda: self.of(kind.__value__, metadata))
        if origin in (Union, types.UnionType):
            return st.one_of([self.of(each, metadata) for each in args])
        if isinstance(kind, TypeVar):
            return _json_values
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return self.of_model(kind)
        collection = origin if origin is not None else kind
        if isinstance(collection, type) and _is_collection(collection):
            return self._collection(collection, args, _sizes(constraints))
        if is_typeddict(kind):
            return self._once(kind, lambda: self._typed_dict(kind))
        if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
            return self._once(kind, lambda: self._constructed(kind))
        return _leaf(kind, constraints)

    def _collection(self, kind: type, args: tuple[Any, ...], sizes: _Sizes) -> SearchStrategy[Any]:
        if issubclass(kind, Mapping):
            key, value = (self.of(each) for each in (args if len(args) == 2 else (str, Any)))
            return _unless_refused(st.dictionaries(key, value, min_size=sizes.least, max_size=sizes.most))
        if issubclass(kind, tuple) and args and args[-1] is not ...:
            return st.tuples(*map(self.of, args))
        items = self.of(args[0] if args else Any)
        if issubclass(kind, Set):
            sets = st.frozensets if issubclass(kind, frozenset) else st.sets
            return _unless_refused(sets(items, min_size=sizes.least, max_size=sizes.most))
        lists = st.lists(items, min_size=sizes.least, max_size=sizes.most)
        return lists.map(tuple) if issubclass(kind, tuple) else lists

    def _typed_dict(self, kind: Any) -> SearchStrategy[Any]:
        items = {name: self._of_field(kind, name, hint) for name, hint in get_type_hints(kind).items()}
        required = {name: items.pop(name) for name in kind.__required_keys__}
        return st.fixed_dictionaries(required, optional=items)

    def _constructed(self, kind: Any) -> SearchStrategy[Any]:
        """Return a strategy for a dataclass or a named tuple."""
        hints = get_type_hints(kind, include_extras=True)
        left_out = {field.name for field in getattr(kind, "__dataclass_fields__", {}).values() if not field.init}
        values = {name: self._of_field(kind, name, hint) for name, hint in hints.items() if name not in left_out}
        return _valid(st.fixed_dictionaries(values), lambda given: kind(**given))


def _is_collection(kind: type) -> bool:
    """Return True for Python's own classes of collections."""
    if kind.__module__ not in ("builtins", "collections", "collections.abc"):
        return False
    return issubclass(kind, Iterable) and not issubclass(kind, (str, bytes, bytearray))


def _leaf(kind: Any, constraints: Sequence[Any]) -> SearchStrategy[Any]:
    """Return a strategy for a type that is no model and no collection."""
    known = [each for each in constraints if isinstance(each, annotated_types.BaseMetadata)]
    if isinstance(kind, type) and issubclass(kind, AnyUrl):
        return _valid(st.sampled_from(_URLS), kind)
    if kind is Decimal:
        bounds = {"min_value": _bound(constraints, "ge", "gt"), "max_value": _bound(constraints, "le", "lt")}
        return st.decimals(
            allow_nan=False, allow_infinity=False, places=_bound(constraints, "decimal_places"), **bounds
        )
    if kind is str and isinstance(pattern := _bound(constraints, "pattern"), str):
        return _matching(pattern)
    if version := _bound(constraints, "uuid_version"):
        return st.uuids(version=version)
    if kind in _KNOWN and not known:
        return _KNOWN[kind]
    try:
        thing: Any = Annotated[kind, *known] if known else kind
        values = st.from_type(thing)
        values.validate()
    except (HypothesisException, TypeError, ValueError, NameError):
        raise _UnknownTypeError from None
    return values.filter(math.isfinite) if kind is float else _unless_refused(values)


def _matching(pattern: str) -> SearchStrategy[str]:
    """Return a strategy for texts that match a pattern somewhere."""
    whole = pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith(r"\$") and "|" not in pattern
    # Otherwise Hypothesis pads the text at both ends, which is slow, and makes a newline for `$`.
    return st.from_regex(pattern[1:-1], fullmatch=True) if whole else st.from_regex(pattern)


def _bound(constraints: Sequence[Any], *names: str) -> Any:
    """Return the first attribute of constraints with one of these names; None if there is none."""
    return next((getattr(each, name) for each in constraints for name in names if hasattr(each, name)), None)


def _single(metadata: Iterable[Any]) -> Iterator[Any]:
    """Yield each constraint by itself."""
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from _single(each.metadata)
        elif isinstance(each, annotated_types.GroupedMetadata):
            yield from _single(each)
        else:
            yield each


def _sizes(constraints: Sequence[Any]) -> _Sizes:
    least = _bound(constraints, "min_length") or 0
    most = _bound(constraints, "max_length")
    return _Sizes(least, least + _A_FEW if most is None else max(least, min(most, least + _A_FEW)))


def _valid(values: SearchStrategy[Any], make: Callable[[Any], Any]) -> SearchStrategy[Any]:
    """Return a strategy for the results of a function, without the values that it refuses."""

    def made(value: Any) -> Any:
        try:
            return make(value)
        except (ValidationError, ValueError, TypeError, AssertionError):
            reject()

    return values.map(made)


@st.composite
def _unless_refused(draw: st.DrawFn, values: SearchStrategy[Any]) -> Any:
    """Draw values, without those that a user's class refuses, or a set does."""
    try:
        return draw(values)
    except (ValidationError, ValueError, TypeError, AssertionError):
        reject()
