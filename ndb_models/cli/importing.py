"""Import the user's modules, with one line for everything that goes wrong."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final

from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.redaction import may_be_secret, shown

_ENDS: Final = 'it ends the process when it is imported; do that below `if __name__ == "__main__":`'


def import_from_here() -> None:
    """Let modules be imported from the working directory first, as with `python -m`."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def imported(name: str, spelling: str) -> ModuleType:
    """Import a module of the user.

    Args:
        name: its full name.
        spelling: how such names are given on this command line, for the error.

    Raises:
        InvalidArgumentError: there is no such module, or it cannot be imported.
    """
    if not name or name.startswith("."):
        raise InvalidArgumentError(spelling)
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except SystemExit as exc:
        raise InvalidArgumentError(f"{shown(name)} cannot be imported: {_ENDS}") from exc
    except BaseException as exc:  # the user's module may raise anything
        raise InvalidArgumentError(f"{shown(name)} cannot be imported: {why(exc)}") from exc


def looked_up(module: ModuleType, name: str) -> object:
    """Return the object that a module has under a dotted name, or None.

    Raises:
        InvalidArgumentError: code of the module failed.
    """
    value: object = module
    for part in name.split("."):
        try:
            value = getattr(value, part, None)
        except Exception as exc:  # the user's module may define __getattr__
            raise InvalidArgumentError(f"{module.__name__}:{name} cannot be looked up: {why(exc)}") from exc
    return value


def why(failure: BaseException) -> str:
    """Return in one line why user code failed. For its own errors that is the place: a message may hold a secret."""
    kind = type(failure).__name__
    if isinstance(failure, NdbError) or (isinstance(failure, ImportError) and not may_be_secret(str(failure.name))):
        said = " ".join(str(failure).split())
        return f"{kind}: {said}" if said else kind
    if isinstance(failure, SyntaxError):
        return f"{kind} at {failure.filename}, line {failure.lineno}"
    places = traceback.extract_tb(failure.__traceback__)
    return f"{kind} at {places[-1].filename}, line {places[-1].lineno}" if places else kind
