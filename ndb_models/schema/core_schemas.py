"""What the core schema that Pydantic makes of a class tells of how it is written and read.

A core schema is JSON-like, with functions and classes for leaves.
"""

from __future__ import annotations

from typing import Any, Final, cast

# What the names are called that a value is read by: of fields, and of arguments.
_ALIASES: Final = frozenset({"validation_alias", "alias"})
# What may be around the fields of a model and changes nothing of how they are written.
_AROUND_FIELDS: Final = frozenset({"definitions", "model", "function-before", "function-after", "function-wrap"})


def has_aliases(core_schema: object) -> bool:
    """Tell whether anything is read by another name than its own."""
    if isinstance(core_schema, dict):
        members = cast("dict[str, object]", core_schema)
        return not members.keys().isdisjoint(_ALIASES) or any(map(has_aliases, members.values()))
    return type(core_schema) in (list, tuple) and any(map(has_aliases, cast("list[object]", core_schema)))


def depends_on_order(core_schema: object) -> bool:
    """Tell whether a value may be read otherwise where the names in a JSON object come in another order.

    So it is with an `OrderedDict`, and may be with what a function makes of an object.
    """
    if isinstance(core_schema, dict):
        members = cast("dict[str, object]", core_schema)
        kind = members.get("type")
        if isinstance(kind, str) and (kind == "ordered-dict" or kind.startswith("function-")):
            return True
        return any(map(depends_on_order, members.values()))
    return type(core_schema) in (list, tuple) and any(map(depends_on_order, cast("list[object]", core_schema)))


def writes_fields(core_schema: Any) -> bool:
    """Tell whether a model is written as its fields, each a key of its name, and nothing else."""
    node = core_schema
    while node["type"] != "model-fields":
        if node["type"] not in _AROUND_FIELDS or "serialization" in node or node.get("root_model"):
            return False
        node = node["schema"]
    return "serialization" not in node and not any(
        "serialization_exclude_if" in field for field in node["fields"].values()
    )
