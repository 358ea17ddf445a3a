"""Find the session models that a command line names: `MODULE`, or `MODULE:NAME`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import cast

from ndb_models.cli.importing import import_from_here, imported, looked_up
from ndb_models.errors import InvalidArgumentError
from ndb_models.redaction import quoted
from ndb_models.schema.model import SessionModel


def find_models(targets: Iterable[str]) -> list[type[SessionModel]]:
    """Return the named models, ordered by the names of their schemas. A module's name stands for all its models.

    Modules are imported from the working directory first, as with `python -m`.

    Raises:
        InvalidArgumentError: there is no such module or model, the module cannot be imported, or two models have the
            same schema.
    """
    import_from_here()
    found: dict[str, type[SessionModel]] = {}
    for target in targets:
        for model in _models_of(target):
            schema = model.session_options.schema
            if found.setdefault(schema, model) is not model:
                raise InvalidArgumentError(
                    f"{_path(found[schema])} and {_path(model)} have the same schema {schema!r}: give one schema="
                )
    return [found[schema] for schema in sorted(found)]


def _path(model: type[SessionModel]) -> str:
    return f"{model.__module__}:{model.__qualname__}"


def _models_of(target: str) -> Iterator[type[SessionModel]]:
    module_name, _, name = target.partition(":")
    module = imported(module_name, "models are named as MODULE or MODULE:NAME, such as myapp.models:UserSession")
    if name:
        yield _named(module, name)
        return
    models = [value for value in vars(module).values() if _is_model(value)]
    if not models:
        raise InvalidArgumentError(f"{module_name} has no session models; name one as {module_name}:NAME")
    yield from models


def _is_model(value: object) -> bool:
    """Tell whether a value is a session model: not `SessionModel` itself, and not a generic without its arguments."""
    # Not `isinstance(value, type)`: that would set up a lazy object.
    if not issubclass(type(value), type) or value is SessionModel:
        return False
    kind = cast("type", value)
    return issubclass(kind, SessionModel) and not kind.__pydantic_generic_metadata__["parameters"]


def _named(module: ModuleType, name: str) -> type[SessionModel]:
    value = looked_up(module, name)
    if not (isinstance(value, type) and issubclass(value, SessionModel)):
        raise InvalidArgumentError(f"{module.__name__} has no session model {quoted(name)}")
    if not _is_model(value):
        raise InvalidArgumentError(f"{name} is a generic model, or the base of all: name one that is stored")
    return value
