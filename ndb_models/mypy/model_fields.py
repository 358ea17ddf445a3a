"""The fields of a model class, as mypy knows them, with or without Pydantic's plugin."""

from __future__ import annotations

from typing import Final

from mypy.expandtype import expand_type, expand_type_by_instance
from mypy.maptype import map_instance_to_supertype
from mypy.nodes import SymbolTableNode, TypeInfo, Var
from mypy.types import Instance, Type

from ndb_models.mypy.model_facts import LookupKind, facts_of
from ndb_models.mypy.names import BASE_MODEL, SESSION_MODEL

# The attributes of these are no fields.
_NO_FIELDS: Final = frozenset({"builtins.object", BASE_MODEL, SESSION_MODEL})


def fields_of(model: Instance) -> dict[str, Type]:
    """Return the types of a model's fields by their names, in their order, inherited ones first."""
    fields: dict[str, Type] = {}
    for base in reversed(model.type.mro):
        if base.fullname in _NO_FIELDS:
            continue
        there = map_instance_to_supertype(model, base)
        facts = facts_of(base)
        in_order = facts.declared if facts is not None else []
        for name in [*in_order, *sorted(base.names.keys() - {*in_order})]:  # mypy's cache sorts them
            declared = _field(name, base.names.get(name))
            if declared is None or declared.type is None:
                continue
            if declared.is_classvar:  # a subclass may make one of a field
                fields.pop(name, None)
            else:
                fields[name] = _of_model(declared.type, base, model, there)
    return fields


def _of_model(declared: Type, base: TypeInfo, model: Instance, there: Instance) -> Type:
    """Return the type of a field that a base declares, with the arguments of a model, for `Self` too."""
    if base.self_type is not None:
        declared = expand_type(declared, {base.self_type.id: model})
    return expand_type_by_instance(declared, there)


def lookup_of(model: TypeInfo, field: str) -> LookupKind:
    """Return how a field of a class is looked up. The class that declares it last decides."""
    for base in model.mro:
        if field in base.names:  # Pydantic's plugin adds inherited ones there
            facts = facts_of(base)
            kind = LookupKind.UNKNOWN if facts is None else facts.lookup(field)
            if kind is not None:
                return kind
    return LookupKind.UNKNOWN


def is_whole(model: TypeInfo) -> bool:
    """Return True if mypy knows all fields that models of exactly this class have."""
    return facts_of(model) is not None and not model.fallback_to_any and model.fullname not in _NO_FIELDS


def _field(name: str, symbol: SymbolTableNode | None) -> Var | None:
    """Return an attribute of a class if it is a field or a class variable: it has an annotation, and is not private."""
    node = symbol.node if symbol is not None else None
    if symbol is None or not isinstance(node, Var) or symbol.implicit or name.startswith("_") or name == "model_config":
        return None
    return None if node.is_inferred else node
