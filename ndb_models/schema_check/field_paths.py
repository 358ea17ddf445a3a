"""The fields of a JSON Schema at every depth, by path: `address.street`, `items[].name`, `by_id.*.name`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ndb_models.schema.json_schema import JsonSchema, as_schema, resolved


def fields_by_path(schema: JsonSchema) -> dict[str, JsonSchema]:
    """Return the fields of a schema by path, with `anyOf` where alternatives have different fields at one path.

    A definition that refers to itself is visited once. All items of an array share one path.

    Raises:
        InvalidArgumentError: the schema refers to a definition that it does not have.
    """
    found: dict[str, list[JsonSchema]] = {}
    for path, field in _walk(schema, schema, "", frozenset()):
        each = as_schema(field)
        if each not in found.setdefault(path, []):
            found[path].append(each)
    return {path: each[0] if len(each) == 1 else {"anyOf": each} for path, each in found.items()}


def _walk(schema: Any, root: JsonSchema, path: str, above: frozenset[str]) -> Iterator[tuple[str, Any]]:
    schema = resolved(as_schema(schema), root)
    text = json.dumps(schema, sort_keys=True, default=str)
    if text in above:
        return
    above |= {text}
    for name, field in schema.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        yield where, field
        yield from _walk(field, root, where, above)
    for where, inner in _below(schema, path):
        yield from _walk(inner, root, where, above)


def _below(schema: JsonSchema, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a schema that are not fields, with their paths: alternatives, items, and other members."""
    for keyword in ("anyOf", "oneOf"):
        yield from ((path, each) for each in schema.get(keyword, ()))
    yield from ((f"{path}[]", each) for each in (*schema.get("prefixItems", ()), schema.get("items", True)))
    values = (schema.get("additionalProperties", True), *schema.get("patternProperties", {}).values())
    yield from ((f"{path}.*" if path else "*", each) for each in values)
