"""The form of a class: a short text that differs between classes that store different data.

The reserved key of each session holds it, so a program recognises sessions that another form of the class wrote. That
form may be of a newer program. Two forms have the same text once in 260,000 times.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Final
from weakref import WeakKeyDictionary

from ndb_models.schema.code import code_in
from ndb_models.schema.model import SessionModel
from ndb_models.schema.stored_schema import stored_schema_of

_LENGTH: Final = 3

_forms: Final[WeakKeyDictionary[type[SessionModel], str]] = WeakKeyDictionary()


def form_of(model: type[SessionModel]) -> str:
    """Return the form of a complete class: a hash of the JSON Schema that it stores, and of its functions."""
    form = _forms.get(model)
    if form is None:
        digest = hashlib.sha256(_described(model).encode()).digest()
        form = _forms[model] = base64.urlsafe_b64encode(digest).decode()[:_LENGTH]
    return form


def _described(model: type[SessionModel]) -> str:
    try:
        stored = json.dumps(stored_schema_of(model), sort_keys=True, default=str)
        return "".join([stored, *code_in(model.__pydantic_core_schema__)])
    except Exception:  # noqa: BLE001 - a type may fail to write its own JSON Schema; the class is stored even so
        return repr([(name, field.annotation) for name, field in model.__pydantic_fields__.items()])
