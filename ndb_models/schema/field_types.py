"""The types of the fields of a class, with their metadata: of a model, a dataclass, a typed dict or a named tuple."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Final, NamedTuple, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

# Attributes of a TypedDict, of any module, and of a named tuple.
_RECORDS: Final = ("__total__", "_fields")


class FieldType(NamedTuple):
    """The type of a field, and its metadata. Metadata of a part of the type stays in the type."""

    annotation: Any
    metadata: Sequence[Any] = ()


def field_types(kind: type[Any]) -> Mapping[str, FieldType]:
    """Return the types of the stored fields of a class by name. Classes of other kinds have no fields."""
    if issubclass(kind, BaseModel) and kind is not BaseModel:
        kind.model_rebuild(raise_errors=False)  # types that were not defined yet may be by now
    fields: Mapping[str, FieldInfo] | None = getattr(kind, "__pydantic_fields__", None)
    if fields is not None:
        stored = ((name, field) for name, field in fields.items() if field.exclude is not True)
        return {name: FieldType(field.annotation, field.metadata) for name, field in stored}
    if is_dataclass(kind) or any(hasattr(kind, sign) for sign in _RECORDS):
        return {name: FieldType(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}
    return {}
