"""JSON Schemas as Pydantic writes them: their references, and the JSON values that may fit them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from ndb_models.errors import InvalidArgumentError

JsonSchema: TypeAlias = Mapping[str, Any]

KEYS: Final = "x-keys"
"""Our keyword for the schema of the names in an object, if they are not read as text."""

READS: Final = "x-reads"
"""Our keyword for how a value is read, beyond JSON Schema."""

LEFT_OUT: Final = "x-left-out"
"""Our keyword for the names of a typed dict or a model that may be left out in writing."""

DEFAULTS: Final = "x-defaults"
"""Our keyword for the texts of defaults, by field name."""

ABSENT: Final = "x-absent"
"""Our keyword for the fields that may be left out in writing when they have their defaults. It is never in a file."""

SAYING: Final = frozenset(
    {
        *("$ref", "allOf", "anyOf", "const", "enum", "format", "not", "oneOf", "pattern", "type"),
        *("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf", "maxLength", "minLength"),
        *("additionalItems", "contains", "items", "maxContains", "maxItems", "minContains", "minItems", "prefixItems"),
        *("unevaluatedItems", "uniqueItems", "additionalProperties", "dependentRequired", "dependentSchemas"),
        *("maxProperties", "minProperties", "patternProperties", "properties", "propertyNames", "required"),
        *("unevaluatedProperties", "else", "if", "then", "contentEncoding", "contentMediaType", "contentSchema"),
        *(KEYS, LEFT_OUT, "x-python", "x-ge", "x-gt", "x-le", "x-lt"),
    }
)
"""Keywords that limit the values that fit. All others are notes, except ours that tell how a value is read."""


def root_of(schema: JsonSchema) -> JsonSchema:
    """Return the schema of the object itself, even if the whole is a reference to it."""
    return resolved(schema, schema)


def resolved(schema: JsonSchema, root: JsonSchema) -> JsonSchema:
    """Return the definition in the root that a schema refers to, or the schema itself if it is no reference.

    Raises:
        InvalidArgumentError: the definition does not exist, or refers to itself.
    """
    seen: set[str] = set()
    while True:
        inner = schema.get("allOf", ())
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
            if name not in root.get("$defs", {}):
                raise InvalidArgumentError(f"the schema refers to {name!r}, which it does not define")
            if name in seen:
                raise InvalidArgumentError(f"the schema defines {name!r} as itself")
            seen.add(name)
            schema = as_schema(root["$defs"][name])
        elif len(inner) == 1 and limiting_keywords(schema) == frozenset({"allOf"}):
            schema = inner[0]
        else:
            return schema


def limiting_keywords(schema: JsonSchema) -> frozenset[str]:
    """Return the keywords of a schema that limit the values that fit."""
    return SAYING.intersection(schema)


NOTHING: Final[JsonSchema] = {"not": {}}
"""The schema that no value fits."""


def as_schema(schema: Any) -> JsonSchema:
    """Return a schema as an object. A schema may also be true or false."""
    return cast("JsonSchema", schema) if isinstance(schema, Mapping) else ({} if schema else NOTHING)


_EVERY_KIND: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_KIND_OF: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def kinds(schema: JsonSchema) -> frozenset[str]:
    """Return the JSON types that may fit a schema; an integer is a number too."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        kinds = frozenset(_KIND_OF[type(value)] for value in values)
    else:
        declared = schema.get("type", _EVERY_KIND)
        kinds = frozenset([declared] if isinstance(declared, str) else declared)
    return kinds | {"integer"} if "number" in kinds else kinds


def values_of(schema: JsonSchema) -> frozenset[str] | None:
    """Return the JSON texts of the only values that fit, or None if the schema does not list them."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return None if values is None else frozenset(json.dumps(value, sort_keys=True) for value in values)


def overlap(one: JsonSchema, other: JsonSchema, tag: str | None) -> bool:
    """Tell whether a value may fit both, by the JSON types, the listed values and the fields that tell them apart.

    Args:
        one: a schema.
        other: another one.
        tag: the discriminator of the union, a field that every value has; None without one.
    """
    if not kinds(one) & kinds(other):
        return False
    if (mine := values_of(one)) is not None and (others := values_of(other)) is not None:
        return bool(mine & others)
    for name in {tag, *(set(one.get("required", ())) & set(other.get("required", ())))}:
        mine, others = (values_of(as_schema(each.get("properties", {}).get(name, True))) for each in (one, other))
        if mine is not None and others is not None and not mine & others:
            return False
    return True


def shown(schema: JsonSchema) -> str:
    """Return words for the values that fit a schema, for a message."""
    declared = schema.get("type")
    shown = declared if isinstance(declared, str) else "a value of several types"
    return f"{shown} ({schema['format']})" if "format" in schema else shown
