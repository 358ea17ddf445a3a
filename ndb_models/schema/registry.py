"""The schema names in use in this process. Each belongs to one class, so a token of one class opens no other.

A class that is loaded again, under its old module and qualified name, may use the name again. Two versions of a schema
may exist side by side if both classes say `schema=` and differ in `version=`. Each reads sessions of the other through
a declared upgrade, or refuses them. A class that no longer exists keeps no name.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable
from typing import Final
from weakref import WeakSet

from ndb_models.errors import SchemaError
from ndb_models.schema.generic_names import generic_identity
from ndb_models.schema.model import SessionModel
from ndb_models.types import NAMESPACE_END

_lock: Final = threading.Lock()
_classes: Final[dict[str, WeakSet[type[SessionModel]]]] = {}


def stored_schema_name(model: type[SessionModel], namespace: str | None) -> str:
    """Return the name under which sessions of a class are stored in a namespace, or in none."""
    schema = model.session_options.schema
    return schema if namespace is None else f"{namespace}{NAMESPACE_END}{schema}"


def claim_schema(model: type[SessionModel], namespace: str | None = None) -> None:
    """Reserve the name of a class's schema for the class, in a namespace or in none. May be called again.

    Raises:
        SchemaError: another class in use has the name, and is neither the same class nor another version of it.
    """
    with _lock:
        others = _classes.setdefault(stored_schema_name(model, namespace), WeakSet())
        if model in others:
            return
        if _rival(model, others) is not None:
            gc.collect()  # classes refer to themselves, so an unused one may still be in memory
        rival = _rival(model, others)
        if rival is not None:
            raise SchemaError(model.__name__, None, _refusal(model.session_options.schema, model, rival))
        others.add(model)


def _rival(model: type[SessionModel], others: Iterable[type[SessionModel]]) -> type[SessionModel] | None:
    return next((other for other in others if not _is_same(model, other) and not _are_versions(model, other)), None)


def _is_same(model: type[SessionModel], other: type[SessionModel]) -> bool:
    """Tell whether two classes are the same class, loaded twice."""
    return _identity(model) == _identity(other)


def _identity(model: type[SessionModel]) -> tuple[object, ...]:
    generic = model.__pydantic_generic_metadata__
    origin = generic["origin"]
    if origin is None:
        return model.__module__, model.__qualname__
    return origin.__module__, origin.__qualname__, generic_identity(generic["args"], model.__module__)


def _are_versions(model: type[SessionModel], other: type[SessionModel]) -> bool:
    one, two = model.session_options, other.session_options
    return one.is_named and two.is_named and one.version != two.version


def _refusal(schema: str, model: type[SessionModel], other: type[SessionModel]) -> str:
    if _identity(model)[:2] == _identity(other)[:2]:
        return (
            f"its arguments differ from another class's of the schema {schema!r} in their metadata alone; declare a"
            f" subclass with a schema of its own: class Other({model.__name__}, schema=...)"
        )
    return (
        f"{other.__module__}.{other.__qualname__} has the schema {schema!r} already, and would take the tokens of"
        f" {model.__module__}.{model.__qualname__}; give one of them a name of its own: schema=... (two versions of one"
        " class both say schema=, and differ in version=)"
    )
