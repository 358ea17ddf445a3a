"""Stores secrets: writes the values of `SecretStr` and its kin, where Pydantic writes asterisks.

This applies to the store alone. Reprs, logs and errors still hide them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import SchemaSerializer

from ndb_models.schema.core_schemas import parts_of

_PYDANTICS_OWN = "_serialize_secret"


def _reveal(secret: SecretStr | SecretBytes | Secret[Any]) -> Any:
    return secret.get_secret_value()


def revealing_serializer(core_schema: Any) -> SchemaSerializer | None:
    """Return a serializer that writes the values of secrets, or None if the schema has no secrets."""
    revealed, found = _replace(core_schema)
    # Prebuilt serializers of nested models would write asterisks.
    return SchemaSerializer(revealed, None, False) if found else None


def writer_of(model: type[BaseModel]) -> Callable[..., bytes]:
    """Return a function that writes a model, or some of its fields, as JSON under field names at every depth."""
    # Both silence warnings, but False takes half the time of "none".
    return partial(serializer_of(model).to_json, by_alias=False, round_trip=True, warnings=False)


def serializer_of(model: type[BaseModel]) -> SchemaSerializer:
    """Return the serializer of `writer_of`. Calling it with the same arguments is quicker than by a partial."""
    return revealing_serializer(model.__pydantic_core_schema__) or model.__pydantic_serializer__


def _replace(node: object) -> tuple[Any, bool]:
    """Return a core schema with the serializers of secrets replaced, and true if it has any."""
    # A core schema is JSON-like, with functions and classes for leaves.
    if isinstance(node, dict):
        members = cast("dict[str, object]", node)
        if _hides(members.get("serialization")):
            plain = {"type": "function-plain", "function": _reveal, "when_used": "unless-none"}
            return {**members, "serialization": plain}, True
        replaced = {name: _replace(part) for name, part in parts_of(members).items()}
        found = any(found for _, found in replaced.values())
        return {**members, **{name: part for name, (part, _) in replaced.items()}}, found
    if type(node) in (list, tuple):  # exact types: a named tuple is a user's default
        items = cast("list[object] | tuple[object, ...]", node)
        parts = [_replace(part) for part in items]
        return type(items)(part for part, _ in parts), any(found for _, found in parts)
    return node, False


def _hides(serialization: object) -> bool:
    if not isinstance(serialization, dict):
        return False
    function = cast("dict[str, object]", serialization).get("function")
    module, name = getattr(function, "__module__", ""), getattr(function, "__name__", "")
    return bool(module == "pydantic.types" and name.startswith(_PYDANTICS_OWN))
