"""Compares functions of core schemas."""

from __future__ import annotations

import functools
import operator
from typing import Any

# The contents of core schemas have no types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false


def same_function(one: Any, other: Any) -> bool:
    """Tell whether two functions are the same: one method of two classes, or the same code with the same values."""
    if isinstance(one, functools.partial) and isinstance(other, functools.partial):
        return same_function(one.func, other.func) and one.args == other.args and one.keywords == other.keywords
    if isinstance(one, operator.attrgetter):
        return type(other) is type(one) and repr(one) == repr(other)
    one, other = (getattr(each, "__func__", each) for each in (one, other))
    code = getattr(one, "__code__", None)
    if code is not None and code is getattr(other, "__code__", None):
        cells = [[cell.cell_contents for cell in each.__closure__ or ()] for each in (one, other)]
        return cells[0] == cells[1]
    return type(one) is type(other) and bool(one == other)
