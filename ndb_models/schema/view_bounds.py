"""Compares the bounds of core schemas: tells whether one takes every value that another takes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final


def is_looser(view: Mapping[str, Any], model: Mapping[str, Any], but: frozenset[str]) -> bool:
    """Tell whether `view` takes every value that fits `model`, without a look at the settings in `but`.

    If any other setting differs and is not a known bound, the answer is no.
    """
    for name in (view.keys() | model.keys()) - but - {"type"}:
        if name in view and name in model and _equal(view[name], model[name]):
            continue
        rule = _RULES.get(name)
        try:
            if rule is None or not rule(view, model):
                return False
        except TypeError:  # a time with a zone does not compare with one without
            return False
    return True


def length_bounds(node: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the bounds of a length that Pydantic checks by a function of its own; empty for any other node."""
    function = node["function"]["function"] if node["type"] == "function-after" else None
    if not isinstance(function, functools.partial) or function.args:
        return {}
    if getattr(function.func, "__module__", "") != "pydantic._internal._validators":
        return {}
    return function.keywords if function.keywords.keys() <= {"min_length", "max_length"} else {}


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _gone(name: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], bool]:
    return lambda view, _: name not in view


def _at_least(view: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    ours, theirs = (_edges(each, "ge", "gt", 1) for each in (view, model))
    return not ours or (bool(theirs) and max(theirs) >= max(ours))


def _at_most(view: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    ours, theirs = (_edges(each, "le", "lt", -1) for each in (view, model))
    return not ours or (bool(theirs) and min(theirs) <= min(ours))


def _edges(schema: Mapping[str, Any], included: str, excluded: str, step: int) -> list[tuple[Any, int]]:
    """Return the bounds on one side: the further along `step`, the stricter. Those of integers become inclusive."""
    edges: list[tuple[Any, int]] = [(schema[included], 0)] if schema.get(included) is not None else []
    beyond = schema.get(excluded)
    if beyond is not None:
        edges.append((beyond + step, 0) if schema["type"] == "int" else (beyond, step))
    return edges


def _shorter(view: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    return bool(view.get("min_length", 0) <= model.get("min_length", 0))


def _longer(view: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    most = view.get("max_length")
    return most is None or ("max_length" in model and most >= model["max_length"])


def _multiple(view: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    ours, theirs = view.get("multiple_of"), model.get("multiple_of")
    return ours is None or (type(ours) is type(theirs) is int and theirs % ours == 0)


def _not_finite(view: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    default = view["type"] == "float"  # a decimal is finite by default
    return bool(view.get("allow_inf_nan", default) or not model.get("allow_inf_nan", default))


_RULES: Final[Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], bool]]] = {
    **dict.fromkeys(("ge", "gt"), _at_least),
    **dict.fromkeys(("le", "lt"), _at_most),
    "min_length": _shorter,
    "max_length": _longer,
    "multiple_of": _multiple,
    "allow_inf_nan": _not_finite,
    **{
        name: _gone(name)
        for name in ("pattern", "now_op", "tz_constraint", "max_digits", "decimal_places", "regex_engine", "version")
    },
}
