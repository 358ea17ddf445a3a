"""The form of a class: a short text that differs where another one stores something else.

It is in the reserved key of each session, so that a program knows what another form of the class wrote: by a newer
program, for all that it can tell. Two forms have one text once in 260,000 times.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Final, cast
from weakref import WeakKeyDictionary

from ndb_models.errors import SchemaError
from ndb_models.schema.freezing import frozen_of
from ndb_models.schema.model import SessionModel

_LENGTH: Final = 3
# Where an object is in memory, in its repr.
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")

_forms: Final[WeakKeyDictionary[type[SessionModel], str]] = WeakKeyDictionary()


def form_of(model: type[SessionModel]) -> str:
    """Return the form of a class, which is complete: of the JSON Schema of what it stores, and of its functions."""
    form = _forms.get(model)
    if form is None:
        digest = hashlib.sha256(_described(model).encode()).digest()
        form = _forms[model] = base64.urlsafe_b64encode(digest).decode()[:_LENGTH]
    return form


def _described(model: type[SessionModel]) -> str:
    try:
        stored = json.dumps(frozen_of(model).json_schema, sort_keys=True, default=str)
        return "".join([stored, *_functions(model.__pydantic_core_schema__)])
    except SchemaError:
        raise
    except Exception:  # noqa: BLE001 - types write JSON Schemas of their own; one that fails is no reason not to store
        return repr([(name, field.annotation) for name, field in model.__pydantic_fields__.items()])


def _functions(node: object) -> Iterator[str]:
    """Yield what tells the validators and serializers of a class apart: their names and their code."""
    if isinstance(node, dict):
        for name, part in cast("dict[str, object]", node).items():
            if name not in ("metadata", "cls", "default"):
                yield from _functions(part)
    elif type(node) in (list, tuple):
        for part in cast("list[object]", node):
            yield from _functions(part)
    elif isinstance(node, MethodType):
        yield from _functions(node.__func__)
    elif isinstance(node, partial):
        yield from _functions([node.func, *node.args, *node.keywords.values()])
    elif isinstance(node, FunctionType):
        yield f"{node.__module__}.{node.__qualname__}"
        yield from _code(node.__code__)
        yield from (_ADDRESS.sub("", repr(cell.cell_contents)) for cell in node.__closure__ or ())


def _code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            yield repr(constant)
