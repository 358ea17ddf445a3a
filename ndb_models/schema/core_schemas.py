"""How a class is written and read, as told by the core schema that Pydantic makes of it.

A core schema is JSON-like, with functions and classes for leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, cast

from pydantic import BaseModel

B = TypeVar("B", bound=BaseModel)

_DEFAULT_SETTINGS: Final[Mapping[str, object]] = {
    "val_json_bytes": "utf8",
    "ser_json_bytes": "utf8",
    "allow_inf_nan": True,
    "ser_json_inf_nan": "null",
    "val_temporal_unit": "infer",
    "ser_json_temporal": "iso8601",
    "ser_json_timedelta": "iso8601",
}

ANY_NODE: Final = {"type": "any"}
"""The node that takes any value."""

# Keys of a core schema that hold the aliases of fields and of arguments.
_ALIASES: Final = frozenset({"validation_alias", "alias"})
# Nodes around the fields of a model that do not change how the fields are written.
_AROUND_FIELDS: Final = frozenset({"definitions", "model", "function-before", "function-after", "function-wrap"})


# Keys of a node that hold no parts of a schema, but user values, notes and functions.
_NO_PARTS: Final = frozenset({"metadata", "default", "expected", "members", "config", "cls", "function"})


def parts_of(node: Mapping[str, object]) -> Mapping[str, object]:
    """Return the members of a mapping in a core schema that may hold further nodes.

    A mapping without a type holds nodes by other names, such as those of fields: a field may be called `default`.
    """
    if not isinstance(node.get("type"), str):
        return node
    return {name: part for name, part in node.items() if name not in _NO_PARTS}


def has_aliases(core_schema: object) -> bool:
    """Tell whether a field or an argument, at any depth, is read by another name than its own."""
    if isinstance(core_schema, dict):
        members = cast("dict[str, object]", core_schema)
        return not members.keys().isdisjoint(_ALIASES) or any(map(has_aliases, parts_of(members).values()))
    return type(core_schema) in (list, tuple) and any(map(has_aliases, cast("list[object]", core_schema)))


def depends_on_order(core_schema: object) -> bool:
    """Tell whether another order of the names in a JSON object may change the value that is read.

    It changes an `OrderedDict`, and it may change the result of a function.
    """
    if isinstance(core_schema, dict):
        members = cast("dict[str, object]", core_schema)
        kind = members.get("type")
        if isinstance(kind, str) and (kind == "ordered-dict" or kind.startswith("function-")):
            return True
        return any(map(depends_on_order, parts_of(members).values()))
    return type(core_schema) in (list, tuple) and any(map(depends_on_order, cast("list[object]", core_schema)))


def reader_of(model: type[B]) -> Callable[[bytes], B]:
    """Return a function that reads a model from JSON, by field names at every depth."""
    read: Callable[..., B] = model.__pydantic_validator__.validate_json
    # These arguments cost a third of the time of reading a small model.
    return partial(read, by_alias=False, by_name=True) if has_aliases(model.__pydantic_core_schema__) else read


def writes_fields(core_schema: Any) -> bool:
    """Tell whether a model is always written as its fields, each under its own name, without other keys."""
    node = core_schema
    while node["type"] != "model-fields":
        if node["type"] not in _AROUND_FIELDS or "serialization" in node or node.get("root_model"):
            return False
        node = node["schema"]
    return "serialization" not in node and not any(
        "serialization_exclude_if" in field for field in node["fields"].values()
    )


class Fields(NamedTuple):
    """The fields of a model in its core schema, with its configuration, its definitions and the nodes around them."""

    fields: Mapping[str, Any]
    config: Mapping[str, Any]
    definitions: Mapping[str, Any]
    around: tuple[Any, ...]


def fields_of_model(model: type[BaseModel]) -> Fields:
    """Return the fields of a model, which must be complete."""
    node: Any = model.__pydantic_core_schema__
    definitions: dict[str, Any] = {}
    config: Mapping[str, Any] = {}
    around: list[Any] = []
    while node["type"] != "model-fields":
        definitions.update((each["ref"], each) for each in node.get("definitions", ()))
        config = node.get("config", config)
        around.append(node)
        if node.get("root_model"):
            root = {"root": {"type": "model-field", "schema": node["schema"]}}
            return Fields(root, config, definitions, tuple(around))
        node = definitions[node["schema_ref"]] if node["type"] == "definition-ref" else node["schema"]
    return Fields(node["fields"], config, definitions, (*around, node))


def walk(node: Any, of: Fields, config: Mapping[str, Any] | None = None) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield each part of a core schema that has a type, once, with the configuration around it.

    Args:
        node: where to begin.
        of: the fields of the model that holds the node.
        config: the configuration around the node; None for the model's.
    """
    pending = [(node, of.config if config is None else config)]
    seen: set[int] = set()
    while pending:
        part, around = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if type(part) in (list, tuple):
            pending += [(each, around) for each in part]
        elif isinstance(part, dict):
            members = cast("dict[str, Any]", part)
            inside = around
            if isinstance(members.get("type"), str):
                inside = members.get("config", around)
                yield members, inside
            if members.get("type") == "definition-ref":
                pending.append((of.definitions[members["schema_ref"]], around))
            pending += [(each, inside) for each in parts_of(members).values()]


def written_by_function(serialization: Any) -> bool:
    """Tell whether a function writes the value, other than Pydantic's own for sequences and the like."""
    if serialization is None or not str(serialization["type"]).startswith("function"):
        return False
    return not str(getattr(serialization["function"], "__module__", "")).startswith("pydantic._internal")


class SchemaPart(NamedTuple):
    """A part of a core schema, in the configuration around it.

    `otherwise` is true if a function writes it. `is_abstract` is true if its type is one of `collections.abc`.
    """

    node: Any
    config: Mapping[str, Any]
    of: Fields
    otherwise: bool = False
    is_abstract: bool = False

    def at(self, node: Any) -> SchemaPart:
        """Return a part of this one, past references, defaults, and the choice between JSON and Python."""
        config, otherwise, is_abstract = self.config, False, False
        while True:
            config = node.get("config", config)
            otherwise = otherwise or written_by_function(node.get("serialization"))
            match node["type"]:
                case "definition-ref":
                    node = self.of.definitions[node["schema_ref"]]
                case "definitions" | "default" | "model-field" | "typed-dict-field" | "dataclass-field":
                    node = node["schema"]
                case "json-or-python":
                    node, is_abstract = node["json_schema"], True
                case _:
                    return SchemaPart(node, config, self.of, otherwise, is_abstract)

    def setting(self, name: str, configured: str) -> object:
        """Return a setting of this part, else of the configuration, else its default."""
        value = self.node.get(name, self.config.get(configured))
        default = _DEFAULT_SETTINGS.get(name, False)
        return default if value is None else value

    @property
    def kind(self) -> str:
        """The type of the part."""
        return str(self.node["type"])


def field_of(of: Fields, name: str) -> SchemaPart:
    """Return the part that reads a field of a model."""
    return SchemaPart(ANY_NODE, of.config, of).at(of.fields[name])
