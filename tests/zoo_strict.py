"""The strict twin of a model: the same fields and values, where nothing is converted on the way in."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import create_model

from ndb_models import SessionModel

Entry: TypeAlias = tuple[type[SessionModel], list[SessionModel]]
"""A model, with instances that come back equal."""


def with_strict(entries: list[Entry]) -> list[Entry]:
    """Return models, each followed by its strict twin."""
    return [twin for model, instances in entries for twin in ((model, instances), strict(model, instances))]


def strict(model: type[SessionModel], instances: list[SessionModel]) -> Entry:
    """Return a model's strict twin, with instances of the same content.

    They are not validated again: what the lax model made of its input is what the strict one would be given.
    """
    twin = create_model(f"Strict{model.__name__}", __base__=model, __cls_kwargs__={"strict": True})
    return twin, [_as(twin, instance) for instance in instances]


def _as(twin: type[SessionModel], instance: SessionModel) -> SessionModel:
    same = twin.model_construct(_fields_set=set(instance.model_fields_set), **dict(instance))
    if instance.__pydantic_private__ is not None:
        same.__pydantic_private__ = dict(instance.__pydantic_private__)
    return same
