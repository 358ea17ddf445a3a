"""The plugin's errors: their codes, and the advice in their messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from mypy.errorcodes import ARG_TYPE, CALL_ARG, ErrorCode

# `type: ignore[call-arg]` and `type: ignore[arg-type]` hold for them too, as for any function's arguments.
FIELD: Final = ErrorCode(
    "ndb-field",
    "Check that names given to a verb are fields, and looked up where need be",
    "ndb_models",
    True,
    CALL_ARG,
)
VALUE: Final = ErrorCode("ndb-value", "Check the types of values given to a verb", "ndb_models", True, ARG_TYPE)
KEYWORD: Final = ErrorCode("ndb-keyword", "Check the class keywords of a session model", "ndb_models", True, CALL_ARG)

_MOST_NAMES: Final = 8


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the known names that are like it, or else all of them."""
    names = list(known)
    close = get_close_matches(given, names)
    if close:
        return f"; did you mean {names_in_words(close)}?"
    return f"; it has {names_in_words(names, 'and')}" if names else ""


def names_in_words(names: list[str], word: str = "or") -> str:
    """Return names as a list in words; the first few of many."""
    quoted = [f'"{name}"' for name in names]
    if len(quoted) > _MOST_NAMES:
        return f"{', '.join(quoted[:_MOST_NAMES])}, ..."
    return f" {word} ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))
