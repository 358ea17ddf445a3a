"""The types that every layer speaks: JSON values, session tokens, clocks.

A leaf: it imports nothing of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

JsonValue: TypeAlias = "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"
"""A JSON value as it is read: lists and dicts, never tuples."""

JsonInput: TypeAlias = "None | bool | int | float | str | Sequence[JsonInput] | Mapping[str, JsonInput]"
"""What may be written: JSON values, with any sequence for an array and any mapping for an object."""

SessionToken: TypeAlias = int
"""Names a session: an unsigned 64-bit integer, given out by the server. Whoever has it has the session."""

Clock: TypeAlias = Callable[[], float]
"""Tells the time in seconds since an epoch of its own. Never goes back."""


def redact(token: object) -> str:
    """Return what a log or an error may show of a token: its last four digits."""
    return f"...{str(token)[-4:]}" if isinstance(token, int) and token > 9999 else "...."
