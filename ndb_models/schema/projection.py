"""Views: models that show a part of a session."""

from __future__ import annotations

from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from ndb_models.errors import SchemaError


def check_view(view: type[BaseModel], model: type[BaseModel]) -> None:
    """Make sure that every session of `model` can be read as `view`.

    Raises:
        SchemaError: the view has a field that the model does not have or store, or one of a type that does not take all
            that the model's takes.
    """
    stored = model.__pydantic_fields__
    for name, field in view.__pydantic_fields__.items():
        if field.exclude is True and not field.is_required():
            continue
        if name not in stored or stored[name].exclude is True:
            raise SchemaError(view.__name__, name, f"{model.__name__} stores no such field")
        theirs, ours = stored[name], field
        narrowed = ours.metadata and ours.metadata != theirs.metadata
        if narrowed or not _takes(ours.annotation, theirs.annotation):
            raise SchemaError(
                view.__name__, name, f"its type does not take all that {model.__name__}.{name} can hold; use the same"
            )


def _takes(ours: Any, theirs: Any) -> bool:
    """Tell whether a type takes all values of another, as far as can be told without looking at values."""
    if ours is Any or ours == theirs:
        return True
    return _members(theirs) <= _members(ours)


def _members(annotation: Any) -> frozenset[Any]:
    return frozenset(get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,))
