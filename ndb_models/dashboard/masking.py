"""Which values the page may show. No I/O.

Every value is hidden until someone asks for it. A secret stays hidden even then: by its type where the model is known,
by its name, or by its form. This looks at every depth of a value.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final, NamedTuple

from ndb_models.secret_names import has_secret_form, is_secret_name
from ndb_models.types import JsonValue

HIDDEN: Final = "••••••"
"""Stands for a secret inside of a value that is shown."""

MOST_CHARACTERS: Final = 4000
"""The most characters of one value that are shown."""


class ShownValue(NamedTuple):
    """A value as the page shows it.

    Attributes:
        kind: its kind, for people.
        text: a text as it is, any other value as indented JSON.
        is_cut: True if the end is left out.
    """

    kind: str
    text: str
    is_cut: bool


def is_secret(name: str, value: JsonValue, secrets: Collection[str] = ()) -> bool:
    """Tell whether a field is a secret as a whole. `secrets` are the fields that are secrets by their types."""
    return name in secrets or is_secret_name(name) or has_secret_form(value)


def shown(value: JsonValue) -> ShownValue:
    """Return a value as the page shows it, without the secrets in it."""
    text = value if isinstance(value, str) else json.dumps(_masked(value), ensure_ascii=False, indent=2)
    return ShownValue(_kind(value), text[:MOST_CHARACTERS], len(text) > MOST_CHARACTERS)


def _masked(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: HIDDEN if is_secret(name, part) else _masked(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_masked(part) for part in value]
    return HIDDEN if has_secret_form(value) else value


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return f"list of {len(value)}"
        case dict():
            return f"object of {len(value)}"
