"""Find the session models that a command line names: `MODULE`, or `MODULE:NAME`."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final, cast

from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.redaction import may_be_secret, quoted, shown
from ndb_models.schema.model import SessionModel


def find_models(targets: Iterable[str]) -> list[type[SessionModel]]:
    """Return the named models, ordered by the names of their schemas. A module's name stands for all its models.

    Modules are imported from the working directory first, as with `python -m`.

    Raises:
        InvalidArgumentError: there is no such module or model, the module cannot be imported, or two models have the
            same schema.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
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
    module = _imported(module_name)
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


def _imported(name: str) -> ModuleType:
    if not name or name.startswith("."):
        raise InvalidArgumentError("models are named as MODULE or MODULE:NAME, such as myapp.models:UserSession")
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except SystemExit as exc:
        raise InvalidArgumentError(f"{shown(name)} cannot be imported: {_ENDS}") from exc
    except BaseException as exc:  # the user's module may raise anything
        raise InvalidArgumentError(f"{shown(name)} cannot be imported: {_why(exc)}") from exc


_ENDS: Final = 'it ends the process when it is imported; do that below `if __name__ == "__main__":`'


def _why(failure: BaseException) -> str:
    """Return in one line why user code failed. For its own errors that is the place: a message may hold a secret."""
    kind = type(failure).__name__
    if isinstance(failure, NdbError) or (isinstance(failure, ImportError) and not may_be_secret(str(failure.name))):
        said = " ".join(str(failure).split())
        return f"{kind}: {said}" if said else kind
    if isinstance(failure, SyntaxError):
        return f"{kind} at {failure.filename}, line {failure.lineno}"
    places = traceback.extract_tb(failure.__traceback__)
    return f"{kind} at {places[-1].filename}, line {places[-1].lineno}" if places else kind


def _named(module: ModuleType, name: str) -> type[SessionModel]:
    value: object = module
    for part in name.split("."):
        try:
            value = getattr(value, part, None)
        except Exception as exc:  # the user's module may define __getattr__
            raise InvalidArgumentError(f"{module.__name__}:{name} cannot be looked up: {_why(exc)}") from exc
    if not (isinstance(value, type) and issubclass(value, SessionModel)):
        raise InvalidArgumentError(f"{module.__name__} has no session model {quoted(name)}")
    if not _is_model(value):
        raise InvalidArgumentError(f"{name} is a generic model, or the base of all: name one that is stored")
    return value
