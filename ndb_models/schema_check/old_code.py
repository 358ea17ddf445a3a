"""Checks that old code can read the sessions of new code: compares the schemas in reverse, and rewords the reasons."""

from __future__ import annotations

import re
from typing import Final

from ndb_models.schema.json_schema import JsonSchema
from ndb_models.schema_check.comparing import Difference, compare

# The reason that a comparison gives, and its wording for old code that reads the sessions of new code.
_WORDS: Final = [
    (re.compile(pattern), words)
    for pattern, words in (
        (r"no longer takes (.+)", r"old code does not take \1"),
        (r"what was (.+) may be read as another .+", r"old code may read \1 as another alternative of its type"),
        (r"took any value, and is (.+) now", r"takes any value now, and was \1"),
        (r"took certain values only, and is (.+) now", r"takes certain values only now, and was \1"),
        (r"takes certain values only now", r"old code takes certain values only"),
        (r"was (.+), and is (.+) now", r"is \1 now, and was \2"),
        (r"is required now, and may be .+", r"is required by old code, and may be left out now"),
        (r"is new and has no default: .+", r"is required by old code, and no longer written"),
        (r"is gone, and what is stored .+", r"is new, and old code refuses names that it does not know"),
        (r"other names are refused now, and .+", r"old code refuses other names, which may be written now"),
        (r"(.+) has changed, or is gone", r"\1 in old code has changed, or is new there"),
        (r"has another default now, .+", r"has another default in old code, which stands for what is left out now"),
        (r"(.+) now", r"\1 in old code"),
        (r"(.+)", r"\1"),
    )
]
_NOT_READ: Final = "what is stored beyond the fields is not read any more"


def broken_for_old_code(old: JsonSchema, new: JsonSchema) -> list[Difference]:
    """Return the values of new code that old code cannot read, or reads as other values.

    Keys that old code does not read at all do not count: they stay as they are stored.
    """
    found = compare(new, old, writes_all=True)
    return [each._replace(reason=_said(each.reason)) for each in found if each.breaking and each.reason != _NOT_READ]


def _said(reason: str) -> str:
    pattern, words = next((pattern, words) for pattern, words in _WORDS if pattern.fullmatch(reason))
    return pattern.sub(words, reason, count=1)
