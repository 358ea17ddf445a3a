"""Comparing models field by field: which of them say something else.

Equal in Python is not enough: `True == 1 == 1.0`, and a configuration in which one became the other has changed.
"""

# What is compared has no types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, Final

from pydantic import BaseModel

_ABSENT: Final = object()


def differing(one: BaseModel, other: BaseModel, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of these fields that differ between two models of one class, in their order."""
    # Not as attributes: whoever compares deprecated fields has not used them.
    ours, theirs = one.__dict__, other.__dict__
    return tuple(name for name in names if not _same(ours.get(name, _ABSENT), theirs.get(name, _ABSENT)))


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, (list, tuple)):
        return all(map(_same, one, other))
    if isinstance(one, BaseModel):
        return _same(one.__dict__, other.__dict__) and _same(one.__pydantic_extra__, other.__pydantic_extra__)
    if is_dataclass(one):
        return all(_same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return True
