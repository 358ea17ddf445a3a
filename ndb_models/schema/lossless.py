"""Models that need not be read back before they are stored, because JSON keeps the types of their fields in full.

Most classes are like this, as their core schema tells once. Their fields are strings, numbers, times, collections of
such, and models like that, without user validators and serializers. A model of such a class comes back the same on
three conditions. Each value is of exactly the type that is read. Each value fits its field; Pydantic's strict mode
tells so without writing and reading JSON. No value is one of the few that JSON cannot write. For types that are not
listed here, the module makes no claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import SchemaValidator, TzInfo

from ndb_models.schema.core_schemas import has_aliases
from ndb_models.schema.lossless_schemas import (
    ALWAYS,
    ANY_EXTRAS,
    APART,
    CONFIG,
    DEFAULT,
    FIELD,
    FIELDS,
    LOSSLESS,
    MODEL,
    NOT_NARROWING,
)

Check = Callable[[Mapping[str, Any]], bool]
"""Tells whether a model's fields come back equal. False leaves the question open."""

Look = Callable[[Any], bool]

Definitions = Mapping[str, Any]

_KNOWN_ROWS: Final = 64

MOST_DIGITS: Final = 4000
"""Numbers of at most so many digits are surely read."""

_DIGITS_AS_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
# Every so many bytes of a text are looked at first: a longest number has this many digits among them.
_SAMPLED: Final = 100
_SAMPLED_DIGITS: Final = b"0" * (MOST_DIGITS // _SAMPLED)

_UTC_AS_READ: Final = TzInfo(0)

IMMUTABLE: Final = frozenset[type]({str, bytes, int, bool, float, Decimal, UUID, date, datetime, type(None)})
"""Types of values that cannot change."""


def lossless_check(model: type[BaseModel]) -> Check | None:
    """Return the check that a model of this class comes back the same; None if no claim can be made.

    For an open class it checks the fields; `extras_come_back` checks the rest.
    """
    core_schema: Any = model.__pydantic_core_schema__
    if has_aliases(core_schema):
        return None
    if core_schema["type"] != "definitions":
        return _check_of(core_schema, {}, ANY_EXTRAS)
    return _check_of(core_schema["schema"], {each["ref"]: each for each in core_schema["definitions"]}, ANY_EXTRAS)


def extras_come_back(extras: Mapping[str, Any]) -> bool:
    """Tell whether the extra keys of an open model come back equal. False leaves the question open."""
    return "".join(extras).isascii() and all(map(_is_plain, extras.values()))


def _is_plain(value: object) -> bool:
    """Tell whether a value is a scalar that comes back, or a list of such."""
    items = cast("list[object]", value) if type(value) is list else (value,)
    return _SCALARS.issuperset(map(type, items))


def has_long_number(text: bytes) -> bool:
    """Tell whether a JSON text longer than `MOST_DIGITS` may hold a number of more digits than Pydantic reads."""
    some = text[::_SAMPLED].translate(_DIGITS_AS_ZEROS)
    return _SAMPLED_DIGITS in some and b"0" * MOST_DIGITS in text.translate(_DIGITS_AS_ZEROS)


def _check_of(model: Any, definitions: Definitions, extras: frozenset[str] = frozenset()) -> Check | None:
    """Return the check that the fields of a model, at every depth, come back; None if no claim can be made."""
    fields = fields_of(model, extras)
    if fields is None:
        return None
    names = tuple(fields)
    kinds: list[frozenset[type]] = []
    collections: list[tuple[str, frozenset[type]]] = []
    looks: list[tuple[str, Look]] = []
    is_narrowed = False
    for name, field in fields.items():
        declared = declared_type(field, definitions)
        if declared is None:
            return None
        kinds.append(declared.kinds)
        is_narrowed = is_narrowed or declared.is_narrowed
        if declared.item_kinds is not None:  # without a call for each
            collections.append((name, declared.item_kinds))
        elif declared.look is not None:
            looks.append((name, declared.look))
    fits: Callable[..., bool] | None = None
    if is_narrowed:
        whole: Any = {"type": "definitions", "schema": model["schema"], "definitions": [*definitions.values()]}
        fits = SchemaValidator(whole if definitions else model["schema"]).isinstance_python
    # Rows of types that fit the fields. There are several, as a field may be None.
    known: set[tuple[type, ...]] = set()

    def check(values: Mapping[str, Any]) -> bool:
        if tuple(values) != names:
            return False
        row = tuple(map(type, values.values()))
        if row not in known:
            if not all(kind in allowed for kind, allowed in zip(row, kinds, strict=True)):
                return False
            if len(known) < _KNOWN_ROWS:
                known.add(row)
        if fits is not None and not fits(values, strict=True):
            return False
        for name, item_kinds in collections:
            items = values[name]
            if items is not None and not item_kinds.issuperset(map(type, items)):
                return False
        for name, comes_back in looks:
            value = values[name]
            if value is not None and not comes_back(value):
                return False
        return True

    return check


def fields_of(model: Any, extras: frozenset[str] = frozenset()) -> Mapping[str, Any] | None:
    """Return the fields of a model that consists of its fields alone; None for other models.

    A model with private attributes is another one: its core schema has a function that runs after its fields.

    Args:
        model: its core schema.
        extras: the keys of a core schema that may tell of extras. If it is empty, the model may not take extras.
    """
    if model["type"] != "model" or not MODEL.issuperset(model) or model.get("custom_init") or model.get("root_model"):
        return None
    config, inner = model.get("config", {}), model["schema"]
    if not CONFIG.issuperset(config) or inner["type"] != "model-fields":
        return None
    if model["cls"] is BaseModel or not (FIELDS | extras).issuperset(inner):
        return None
    if config.get("extra_fields_behavior") == "allow" and not extras:
        return None
    return inner["fields"]  # type: ignore[no-any-return]  # a dict, as a core schema has it


class Declared(NamedTuple):
    """The declared type of a value.

    Attributes:
        kinds: the types that its values are read as.
        look: tells whether a value of such a type comes back; None if all values do.
        is_narrowed: true if the field does not take all values of such types.
        item_kinds: the types of the items of a collection, if they are all that `look` looks at; None otherwise.
        differs_if_unequal: true if values that `!=` tells apart differ. False for Decimals, where `!=` may raise, and
            for objects of classes that may define it.
    """

    kinds: frozenset[type]
    look: Look | None = None
    is_narrowed: bool = False
    item_kinds: frozenset[type] | None = None
    differs_if_unequal: bool = True


def declared_type(field: Any, definitions: Definitions) -> Declared | None:
    """Return the type of a field, without its default; None if no claim is made."""
    inner = field["schema"]
    if not FIELD.issuperset(field):
        return None
    if inner["type"] == "default":
        if not DEFAULT.issuperset(inner):
            return None
        inner = inner["schema"]
    return _type(inner, definitions)


def _type(node: Any, definitions: Definitions) -> Declared | None:
    if node["type"] == "definition-ref" and ALWAYS.issuperset(node.keys() - {"schema_ref"}):
        # Inside its own definition a type is not defined, so recursive types get no claim.
        others = {ref: each for ref, each in definitions.items() if ref != node["schema_ref"]}
        return _type(definitions[node["schema_ref"]], others) if len(others) < len(definitions) else None
    kind = node["type"]
    if kind == "model":
        check = _check_of(node, definitions)
        if check is None:
            return None
        return Declared(frozenset({node["cls"]}), _look_inside(check), differs_if_unequal=False)
    if kind not in LOSSLESS or not (ALWAYS | LOSSLESS[kind]).issuperset(node):
        return None
    is_narrowed = not (ALWAYS | NOT_NARROWING).issuperset(node)
    match kind:
        case "nullable":
            inner = _type(node["schema"], definitions)
            return None if inner is None else inner._replace(kinds=inner.kinds | {type(None)})
        case "union":
            read_as = frozenset({_READ_AS.get(_plain_kind(choice), object) for choice in node["choices"]})
            return Declared(read_as) if read_as <= _SCALARS else None
        case "literal":
            are_texts = all(type(value) is str for value in node["expected"])
            return Declared(_TEXT, is_narrowed=True) if are_texts else None
        case "enum":
            written = all(type(member.value) is str for member in node["members"])
            return Declared(frozenset({node["cls"]}), differs_if_unequal=False) if written else None
        case "list" | "set" | "frozenset":
            item = _type(node.get("items_schema", _ANY), definitions)
            return None if item is None else _collection(_READ_AS[kind], item, is_narrowed or item.is_narrowed)
        case "tuple":
            items = node["items_schema"]
            alike = len(items) == 1 and node.get("variadic_item_index") == 0
            item = _type(items[0], definitions) if alike else None
            return None if item is None else _collection(tuple, item, is_narrowed or item.is_narrowed)
        case "dict":
            key, value = (_type(node.get(part, _ANY), definitions) for part in ("keys_schema", "values_schema"))
            if key is None or value is None or key.kinds != _TEXT:
                return None
            return _by_text(value, is_narrowed or key.is_narrowed or value.is_narrowed)
        case _:
            read_as = frozenset({_READ_AS[kind]})
            return Declared(read_as, _LOOKS.get(kind), is_narrowed, differs_if_unequal=kind != "decimal")


def _plain_kind(choice: Any) -> str:
    """Return the type of a choice of a union, if it takes all values of one of the types in `APART`; else nothing."""
    if isinstance(choice, tuple):  # a label for errors is with it
        return ""
    return str(choice["type"]) if choice["type"] in APART and choice.keys() <= {"type", "metadata"} else ""


def _collection(kind: type, item: Declared, is_narrowed: bool) -> Declared:
    """Return the type of a collection with items of one type."""
    kinds = item.kinds
    look = _look_at_each(item.look)

    def comes_back(values: Iterable[Any]) -> bool:
        return kinds.issuperset(map(type, values)) and (look is None or look(values))

    return Declared(
        frozenset({kind}), comes_back, is_narrowed, kinds if look is None else None, item.differs_if_unequal
    )


def _by_text(value: Declared, is_narrowed: bool) -> Declared:
    """Return the type of a dict with keys of text."""
    kinds = value.kinds
    look = _look_at_each(value.look)

    def comes_back(values: Mapping[Any, Any]) -> bool:
        if not (_TEXT.issuperset(map(type, values)) and kinds.issuperset(map(type, values.values()))):
            return False
        names = "".join(values)
        return (names.isascii() or _is_unicode(names)) and (look is None or look(values.values()))

    return Declared(frozenset({dict}), comes_back, is_narrowed, differs_if_unequal=value.differs_if_unequal)


def _is_unicode(text: str) -> bool:
    """Tell whether a text has no lone surrogate, which Pydantic writes as something else."""
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


def _look_at_each(look: Look | None) -> Look | None:
    if look is None:
        return None

    def comes_back(values: Iterable[Any]) -> bool:
        return all(value is None or look(value) for value in values)

    return comes_back


def _look_inside(check: Check) -> Look:
    return lambda model: check(model.__dict__)


def _is_read_as_written(time: datetime) -> bool:
    """Tell whether a time surely keeps its zone and fold. Zones other than UTC have rules of their own, and seconds."""
    zone = time.tzinfo
    if zone is None:
        return not time.fold
    return zone is UTC or (type(zone) is TzInfo and zone == _UTC_AS_READ)


_ANY: Final = {"type": "any"}
_TEXT: Final = frozenset[type]({str})
_SCALARS: Final = frozenset[type]({str, int, bool, type(None)})

_READ_AS: Final[Mapping[str, type]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "bytes": bytes,
    "float": float,
    "decimal": Decimal,
    "uuid": UUID,
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "date": date,
    "datetime": datetime,
}
_LOOKS: Final[Mapping[str, Look]] = {
    "float": isfinite,
    "decimal": Decimal.is_finite,
    "datetime": _is_read_as_written,
}
