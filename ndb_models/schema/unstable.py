"""Warns of types for which a stored value may become invalid by itself: `FutureDatetime`, `FilePath` and their kin.

Such a type is checked at each read: against the clock, or against the files of the reading machine.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import pydantic
from pydantic import BaseModel

from ndb_models.schema.core_schemas import fields_of_model, walk

_OF_TIME: Final = (
    "its type is checked against the clock at each read, so that a stored value stops fitting as time passes, and the"
    " session can no longer be read; declare {instead}, and check the time where the value comes from"
)
_OF_FILES: Final = (
    "its type is checked against the files of the machine at each read, so that the session can no longer be read once"
    " they change; declare Path, and check it where the value comes from"
)
_INSTEAD: Final = {"date": "date", "datetime": "datetime or AwareDatetime"}
_ON_FILES: Final = "PathType.validate_"

# Code in these folders does not count as the place where a class is declared or used.
_INNER: Final = tuple(f"{path}{os.sep}" for path in (Path(__file__).parents[1], Path(pydantic.__file__).parent))


class UnstableFieldWarning(UserWarning):
    """A stored value of this field may become invalid by itself: as time passes, or as files change."""


def warn_of_unstable_fields(model: type[BaseModel]) -> None:
    """Warn of each stored field of such a type, at the line where the program declares or uses the class."""
    for name, reason in _unstable(model):
        warnings.warn(f"{model.__name__}.{name}: {reason}", UnstableFieldWarning, stacklevel=_outside())


def _unstable(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    of = fields_of_model(model)
    for name, field in of.fields.items():
        if model.__pydantic_fields__[name].exclude is True or _is_inherited(model, name):
            continue
        reason = next(filter(None, (_reason(node) for node, _ in walk(field, of))), None)
        if reason is not None:
            yield name, reason


def _is_inherited(model: type[BaseModel], name: str) -> bool:
    """Tell whether a base class, which is a session class too, has the same field: its warning was given there."""
    bases = [base for base in model.__mro__[1:] if hasattr(base, "session_options") and issubclass(base, BaseModel)]
    here = model.__pydantic_fields__[name]
    return any(
        name in base.__pydantic_fields__ and base.__pydantic_fields__[name].annotation == here.annotation
        for base in bases
    )


def _reason(node: Any) -> str | None:
    if node.get("now_op"):
        return _OF_TIME.format(instead=_INSTEAD[node["type"]])
    function: Any = node.get("function")
    if isinstance(function, dict):  # else it belongs to a serializer
        function = cast("dict[str, Any]", function)["function"]
    name = str(getattr(function, "__qualname__", ""))
    return _OF_FILES if name.startswith(_ON_FILES) else None


def _outside() -> int:
    """Return the stack level, for the caller's warning, of the first frame outside `_INNER`."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename.startswith(_INNER):
        frame, level = frame.f_back, level + 1
    return level
