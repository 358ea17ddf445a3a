"""From an error of Typer's parser to one line with the correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from ndb_models.cli.corrections import (
    missing_arguments,
    missing_value,
    needless_argument,
    needless_value,
    not_a_choice,
    see_help,
    unknown_flag,
)
from ndb_models.redaction import quoted

_NUMBERS: Final = {int: "whole number", float: "number"}


def explained(error: Any) -> str:
    """Return the line for an error of the parser. It repeats no value that may be a secret.

    The kinds of errors are told apart by their names: Typer exports few of them.
    """
    context = getattr(error, "ctx", None)
    said = _said(type(error).__name__, error, context)
    return said + (see_help(context.command_path) if context is not None else "")


def _said(kind: str, error: Any, context: Any) -> str:
    if context is None:
        return "the command line is wrong"
    parameters: Sequence[Any] = context.command.get_params(context)
    match kind:
        case "NoSuchOption":
            flags = [name for each in parameters for name in (*each.opts, *each.secondary_opts) if name[:2] == "--"]
            return unknown_flag(error.option_name, flags, before_command=hasattr(context.command, "commands"))
        case "BadOptionUsage" if "not take a value" in error.message:
            return needless_value(error.option_name)
        case "BadOptionUsage":
            metavars = {name: each.metavar for each in parameters for name in each.opts}
            return missing_value(error.option_name, metavars.get(error.option_name) or "")
        case "MissingParameter":
            return missing_arguments([_named(each) for each in parameters if _is_missing(each, context)])
        case "BadParameter" if error.param is not None:
            return _bad_value(error)
        case "UsageError" if "extra argument" in error.message:
            return needless_argument(takes_some=any(each.param_type_name == "argument" for each in parameters))
        case _:
            return "the command line is wrong"


def _is_missing(parameter: Any, context: Any) -> bool:
    return bool(parameter.required) and context.params.get(parameter.name) in (None, (), [])


def _named(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return " ".join(filter(None, (_flag(parameter), parameter.metavar)))


def _flag(parameter: Any) -> str:
    return str(max(parameter.opts, key=len)) if parameter.param_type_name == "option" else _named(parameter)


def _bad_value(error: Any) -> str:
    """Return the line for a value that a parameter cannot take."""
    name, described, cause = _flag(error.param), error.param.type_descriptor, error.__cause__
    given = cause.errors()[0]["input"] if isinstance(cause, ValidationError) else None
    text = given if isinstance(given, str) else ""
    if described.choices is not None:
        return not_a_choice(name, text, [str(getattr(each, "value", each)) for each in described.choices])
    kind = _NUMBERS.get(described.annotation)
    if kind is None:
        return f"{name}: {quoted(text)} cannot be used"
    return f"{name}: {quoted(str(given))} is not a {kind}{_bounds(error.param)}"


def _bounds(parameter: Any) -> str:
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    lower = "" if least is None else f" from {least:g}"
    return lower if most is None else f"{lower} to {most:g}"
