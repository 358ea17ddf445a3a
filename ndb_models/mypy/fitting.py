"""Whether a value that a program gives fits a type."""

from __future__ import annotations

from mypy.nodes import Expression
from mypy.plugin import CheckerPluginInterface
from mypy.subtypes import is_subtype
from mypy.types import Type


def misfit(value: Expression, expected: Type, api: CheckerPluginInterface) -> Type | None:
    """Return the type of a value if it does not fit the expected one, else None.

    The type is inferred with the expected one as its context, as for an argument of a function: `[]` by itself has no
    type. A value with an error of its own, which mypy reports, counts as fitting.
    """
    with api.msg.filter_errors() as watcher:
        inferred = api.get_expression_type(value, type_context=expected)
    if watcher.has_new_errors():
        with api.msg.filter_errors() as watcher:
            inferred = api.get_expression_type(value)
        if watcher.has_new_errors():
            return None
    return None if is_subtype(inferred, expected, options=api.options) else inferred
