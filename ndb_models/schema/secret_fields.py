"""The fields of a model that are secrets by their types: `SecretStr` and its kin, at any depth."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from ndb_models.schema.lookup import types_within

_SECRETS: Final = (SecretStr, SecretBytes, Secret)


def secret_fields_of(model: type[BaseModel]) -> frozenset[str]:
    """Return the fields whose values are secrets, or hold some."""
    return frozenset(name for name, field in model.__pydantic_fields__.items() if _has_secret(field.annotation))


def _has_secret(annotation: Any) -> bool:
    return any(isinstance(part, type) and issubclass(part, _SECRETS) for part in types_within(annotation))
