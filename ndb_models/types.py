"""The types that every layer speaks: JSON values, session tokens, clocks.

A leaf: it imports nothing of this package. `JsonValue` is Pydantic's: a JSON value as it is read, with lists and dicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from pydantic import JsonValue as JsonValue
from typing_extensions import TypeAliasType

# Both have names of their own at run time, so that Pydantic takes them as the types of fields.
JsonInput = TypeAliasType(
    "JsonInput", "None | bool | int | float | str | Sequence[JsonInput] | Mapping[str, JsonInput]"
)
"""What may be written: JSON values, with any sequence for an array and any mapping for an object."""

SessionToken: TypeAlias = int
"""Names a session: an unsigned 64-bit integer, given out by the server. Whoever has it has the session."""

Clock: TypeAlias = Callable[[], float]
"""Tells the time in seconds since an epoch of its own. Never goes back."""


def redact(token: object) -> str:
    """Return what a log or an error may show of a token: its last four digits."""
    return f"...{str(token)[-4:]}" if isinstance(token, int) and token > 9999 else "...."
