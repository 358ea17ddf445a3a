"""Views: models that show a part of a session."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ndb_models.errors import SchemaError
from ndb_models.schema.core_schemas import ANY_NODE, Fields, SchemaPart, field_of, fields_of_model
from ndb_models.schema.same_function import same_function
from ndb_models.schema.view_coverage import Reading, has_default

_UNLIKE = (
    "it would not read as {0} writes it: its type does not take all that {0} can hold, or its validators, serializers"
    " or the configuration of the class read it as something else; use the same"
)


def check_view(view: type[BaseModel], model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys that a view reads, after checking that the view reads each as the model's value.

    A field with a default is not read if the view excludes it, or if the model does not have it and allows no extra
    keys. Both classes must be complete.

    Raises:
        SchemaError: the model does not have a field that the view requires, or does not store a field that both have;
            a field of the view would show another value than the model does; or a function that the view does not have
            reads or writes the model as a whole.
    """
    ours, theirs = fields_of_model(view), fields_of_model(model)
    _check_whole(view, model, ours, theirs)
    names: list[str] = []
    for name, field in view.__pydantic_fields__.items():
        if field.exclude is True and not field.is_required():
            continue
        stored = model.__pydantic_fields__.get(name)
        if stored is None and model.model_config.get("extra") == "allow" and "root" not in ours.fields:
            theirs_now = _extra(theirs)
        elif stored is None and has_default(ours.fields[name]):
            continue
        elif stored is None or stored.exclude is True:
            raise SchemaError(view.__name__, name, f"{model.__name__} stores no such field")
        else:
            theirs_now = field_of(theirs, name)
        if not Reading().covers(field_of(ours, name), theirs_now):
            raise SchemaError(view.__name__, name, _UNLIKE.format(f"{model.__name__}.{name}"))
        names.append(name)
    return tuple(names)


def _extra(of: Fields) -> SchemaPart:
    """Return the schema that reads the extra keys of an open class."""
    inner = of.around[-1]
    return SchemaPart(ANY_NODE, of.config, of).at(inner.get("extras_schema", ANY_NODE))


def _check_whole(view: type[BaseModel], model: type[BaseModel], ours: Fields, theirs: Fields) -> None:
    """Check that the view has every function that reads or writes the whole model, except for validators run after."""
    for part in ("serialization", "function"):
        mine = [_function(each, part) for each in ours.around]
        for each in theirs.around:
            function = None if part == "function" and each["type"] == "function-after" else _function(each, part)
            if function is not None and not any(same_function(function, other) for other in mine):
                name = getattr(function, "__name__", "it")
                problem = f"{model.__name__} is {_BY[part]} as a whole by {name}, which the view does not have"
                raise SchemaError(view.__name__, None, problem)


_BY = {"serialization": "written", "function": "read"}


def _function(node: Any, part: str) -> Any:
    return node[part].get("function") if isinstance(node.get(part), dict) else None
