"""Models that need not be read back before they are stored, because JSON loses nothing of the types of their fields.

Of most classes that can be told from their core schema, once: their fields are strings, numbers, times and collections
of such, without validators and serializers of the user's. Then a model comes back the same if each of its values is of
the very type that is read, and just what its field declares, which Pydantic's strict mode tells without writing and
reading JSON; and if none is one of the few of these types that JSON has no way to write. Of whatever is not listed here
nothing is claimed: not of a dict, for one, whose keys Pydantic writes though they are no Unicode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import SchemaValidator, TzInfo

from ndb_models.schema.core_schemas import has_aliases

Check = Callable[[Mapping[str, Any]], bool]
"""Tells of a model's fields whether they come back equal. False says nothing."""

_Look = Callable[[Any], bool]

_KNOWN_ROWS: Final = 64

_ALWAYS: Final = frozenset({"type", "ref", "metadata", "strict"})
_BOUNDS: Final = frozenset({"gt", "ge", "lt", "le", "multiple_of"})
_LENGTHS: Final = frozenset({"min_length", "max_length"})
# The types whose values all come back equal, and what may be said of them that changes no value.
_LOSSLESS: Final[Mapping[str, frozenset[str]]] = {
    "str": _LENGTHS | {"pattern"},
    "int": _BOUNDS,
    "bool": frozenset(),
    "uuid": frozenset({"version"}),
    "list": _LENGTHS | {"items_schema"},
    "nullable": frozenset({"schema"}),
    "literal": frozenset({"expected"}),
    "enum": frozenset({"cls", "members", "sub_type"}),
}
# Those of which a few values do not, which are looked for where they are fields.
_NEARLY: Final[Mapping[str, frozenset[str]]] = {
    "float": _BOUNDS,
    "date": frozenset(),
    "datetime": frozenset({"microseconds_precision", "tz_constraint"}),
}
_FIELD: Final = frozenset({"type", "schema", "metadata", "frozen"})
_DEFAULT: Final = frozenset({"type", "schema", "metadata", "default", "default_factory", "default_factory_takes_data"})
_MODEL: Final = frozenset({"type", "ref", "metadata", "cls", "schema", "custom_init", "root_model", "config"})
_FIELDS: Final = frozenset({"type", "fields", "model_name", "computed_fields"})
_CONFIG: Final = frozenset({"title", "hide_input_in_errors", "strict", "extra_fields_behavior"})

_UTC_AS_READ: Final = TzInfo(0)


def lossless_check(model: type[BaseModel]) -> Check | None:
    """Return what tells of models of a class that they come back equal from JSON; None where nothing can be told."""
    core_schema: Any = model.__pydantic_core_schema__
    fields = _fields_of(core_schema)
    if fields is None or model.__private_attributes__ or has_aliases(core_schema):
        return None
    names = tuple(fields)
    kinds: list[frozenset[type]] = []
    looks: list[tuple[str, _Look]] = []
    for name, field in fields.items():
        inner = _declared(field)
        if inner is None:
            return None
        kinds.append(_kinds(inner))
        look = _look(inner)
        if look is not None:
            looks.append((name, look))
    fits = SchemaValidator(core_schema["schema"]).isinstance_python
    # Rows of types that were found to be those of the fields: there are several, as a field may be None.
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
        if not fits(values, strict=True):
            return False
        for name, comes_back in looks:
            value = values[name]
            if value is not None and not comes_back(value):
                return False
        return True

    return check


def _fields_of(model: Any) -> Mapping[str, Any] | None:
    """Return the fields of a model that is nothing but its fields."""
    if model["type"] != "model" or not _MODEL.issuperset(model) or model["custom_init"] or model["root_model"]:
        return None
    config, inner = model.get("config", {}), model["schema"]
    if not _CONFIG.issuperset(config) or config.get("extra_fields_behavior") == "allow":
        return None
    return inner["fields"] if inner["type"] == "model-fields" and _FIELDS.issuperset(inner) else None


def _declared(field: Any) -> Any:
    """Return the type of a field, without its default; None if something of it might not come back equal."""
    inner = field["schema"]
    if not _FIELD.issuperset(field):
        return None
    if inner["type"] == "default":
        if not _DEFAULT.issuperset(inner):
            return None
        inner = inner["schema"]
    innermost = inner["schema"] if inner["type"] == "nullable" and _is_plain(inner, _LOSSLESS) else inner
    return inner if _is_plain(innermost, _NEARLY) or _is_lossless(inner) else None


def _is_plain(node: Any, types: Mapping[str, frozenset[str]]) -> bool:
    return node["type"] in types and (_ALWAYS | types[node["type"]]).issuperset(node)


def _is_lossless(node: Any) -> bool:
    if not _is_plain(node, _LOSSLESS):
        return False
    match node["type"]:
        case "literal":
            return all(type(value) is str for value in node["expected"])
        case "enum":
            return all(type(member.value) is str for member in node["members"])
        case "list":
            return _is_lossless(node.get("items_schema", {"type": "any"}))
        case "nullable":
            return _is_lossless(node["schema"])
        case _:
            return True


def _kinds(node: Any) -> frozenset[type]:
    """Return the types that values of a field are read as."""
    if node["type"] == "nullable":
        return _kinds(node["schema"]) | {type(None)}
    return frozenset({node["cls"] if node["type"] == "enum" else _READ_AS[node["type"]]})


def _look(node: Any) -> _Look | None:
    """Return what tells of a field's values, each of a type that is read, whether they come back; None if all do."""
    if node["type"] == "nullable":
        return _look(node["schema"])
    if node["type"] != "list":
        return _LOOKS.get(node["type"])
    items = node.get("items_schema")
    return None if items is None else _look_at_items(_kinds(items), _look(items))


def _look_at_items(kinds: frozenset[type], look: _Look | None) -> _Look:
    def comes_back(items: list[Any]) -> bool:
        if not kinds.issuperset(map(type, items)):
            return False
        return look is None or all(item is None or look(item) for item in items)

    return comes_back


def _is_read_as_written(time: datetime) -> bool:
    """Tell whether a time is read in the zone that it has: other zones have rules of their own, and seconds."""
    zone = time.tzinfo
    return zone is UTC or zone == _UTC_AS_READ if zone is not None else not time.fold


_READ_AS: Final[Mapping[str, type]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": float,
    "uuid": UUID,
    "list": list,
    "literal": str,
    "date": date,
    "datetime": datetime,
}
_LOOKS: Final[Mapping[str, _Look]] = {"float": isfinite, "datetime": _is_read_as_written}
