"""The frame of all commands but `serve` and `health`: one tree of Typer, with one-line errors.

A module adds its functions as commands with `command`, and `tree` puts the groups together:

    @command(tree, "audit", help="Check ...", statuses=(...))
    def audit(app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="...")]) -> int | None: ...

A function returns its exit status; None is 0. An error of this package becomes one line on standard error, with status
2 for an `InvalidArgumentError` and 1 for any other. Slow imports stand inside the function: the tree is made for every
command line.

`store_access` has the flags that name a store, and `on_store` opens it for a command; `output` prints tables and JSON;
`progress` is for long work; `masking` hides tokens and values; `asking` asks before data is lost.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from ndb_models.cli.corrections import missing_value, see_help, unknown_command
from ndb_models.cli.exits import FAILURE, MISUSE, MISUSED, exit_statuses
from ndb_models.errors import InvalidArgumentError

_Function = TypeVar("_Function", bound=Callable[..., int | None])

# Tells the formatter of the help to leave the lines of a paragraph as they are.
_AS_IT_IS: Final = "\b\n"
# A token or a public id that begins with a dash. Flags have no capitals and no digits; nearly all tokens have some.
_LIKE_A_TOKEN: Final = re.compile(r"-(?=.*[A-Z0-9])(?:[A-Za-z0-9_-]{10}|[A-Za-z0-9_-]{21})")
_MISUSE: Final = f"{MISUSE}\n       (or without a command: standard error has this help)"
_HELP: Final = {"help_option_names": ["--help"], "max_content_width": 100}


def _write_usage(command: TyperCommand | TyperGroup, ctx: Any, formatter: Any) -> None:
    """Write the usage as the parser of `serve` does."""
    formatter.write_usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)), prefix="usage: ")


class Command(TyperCommand):
    """A command. A flag never takes another flag for its value."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write the usage."""
        _write_usage(self, ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the placeholders of the usage: the flags first, then the arguments."""
        arguments = [each for each in self.get_params(ctx) if each.param_type_name == "argument"]
        named = [(_placeholder(each), each.required) for each in arguments]
        return ["[OPTIONS]", *(name if required else f"[{name}]" for name, required in named)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, and then the flags."""
        parameters = self.get_params(ctx)
        arguments = [(_placeholder(each), _help(each)) for each in parameters if each.param_type_name == "argument"]
        records = [each.get_help_record(ctx) for each in parameters if each.param_type_name == "option"]
        for title, rows in (("Arguments", arguments), ("Options", [each for each in records if each is not None])):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, and refuse a flag without its value: the next flag would be taken for the value."""
        if not ctx.resilient_parsing:
            _require_values(self, ctx, args)
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as exc:
            vars(exc)["ctx"] = ctx  # some have none, and their explanation needs it
            raise


def _placeholder(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.nargs == 1 else f"{name}..."


def _help(parameter: Any) -> str:
    return str(getattr(parameter, "help", None) or "")


class TokenCommand(Command):
    """A command that takes tokens and public ids. They may begin with a dash."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse. An unknown flag that looks like a token is an argument."""
        flags = {name for each in self.get_params(ctx) for name in each.opts}
        tokens = [each for each in args if _LIKE_A_TOKEN.fullmatch(each) and each not in flags]
        others = [each for each in args if each not in tokens]
        if tokens and "--" not in others:
            others.append("--")
        return super().parse_args(ctx, [*others, *tokens])


class Group(TyperGroup):
    """Commands under one name. An unknown one is answered with the one that was meant."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write the usage."""
        _write_usage(self, ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command and the arguments for it."""
        if not ctx.resilient_parsing and args[0] not in self.commands:
            raise InvalidArgumentError(unknown_command(args[0], _visible(self, ctx)) + see_help(ctx.command_path))
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse. Without any argument, write the help to standard error, and end with the status of a wrong call."""
        rest = super().parse_args(ctx, args)
        if not (args or ctx.resilient_parsing):
            sys.stderr.write(f"{ctx.get_help()}\n")
            raise typer.Exit(MISUSED)
        return rest


def _visible(group: TyperGroup, ctx: Any) -> list[str]:
    return [name for name in group.list_commands(ctx) if not group.commands[name].hidden]


def _require_values(command: TyperCommand, ctx: Any, args: Sequence[str]) -> None:
    """Refuse a flag that needs a value and is followed by another flag of the command.

    Raises:
        InvalidArgumentError: there is such a flag.
    """
    options = [each for each in command.get_params(ctx) if each.param_type_name == "option"]
    flags = {name for each in options for name in (*each.opts, *each.secondary_opts)}
    with_value = {
        name: getattr(each, "metavar", None) or ""
        for each in options
        if not getattr(each, "is_flag", False)
        for name in each.opts
    }
    for argument, following in pairwise(args):
        if argument == "--":
            return
        if argument in with_value and following.partition("=")[0] in flags:
            raise InvalidArgumentError(missing_value(argument, with_value[argument]) + see_help(ctx.command_path))


def group(
    name: str,
    description: str,
    *,
    summary: str | None = None,
    parent: typer.Typer | None = None,
    kind: type[Group] = Group,
    completion: bool = False,
    examples: str = "",
) -> typer.Typer:
    """Return an empty group of commands.

    Args:
        name: its name on the command line.
        description: one or two sentences on its commands.
        summary: a few words on them, for the help of its parent.
        parent: the group that it stands in; None for the root of the tree.
        kind: the class of the group.
        completion: whether it has the flags that install completion for a shell; for the root.
        examples: lines for the end of its help.
    """
    made = typer.Typer(
        name=name,
        cls=kind,
        help=description,
        short_help=summary,
        epilog=_epilog((FAILURE, _MISUSE), _AS_IT_IS + examples if examples else "", "done"),
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_HELP,
    )
    if parent is not None:
        parent.add_typer(made)
    return made


def command(
    commands: typer.Typer,
    name: str,
    description: str,
    *,
    summary: str | None = None,
    statuses: Sequence[str] = (FAILURE, MISUSE),
    done: str = "done",
    notes: str = "",
    kind: type[Command] = Command,
) -> Callable[[_Function], _Function]:
    """Return a decorator that adds a function to a group of commands.

    Args:
        commands: the group.
        name: the name of the command.
        description: a few sentences, for its own help.
        summary: a few words, for the help of the group; by default the first sentence of the description.
        statuses: the lines of its exit statuses beside 0, 130 and 141.
        done: the meaning of status 0.
        notes: more text for the end of its help.
        kind: the class of the command.
    """
    return commands.command(
        name,
        cls=kind,
        help=description,
        short_help=summary,
        epilog=_epilog(statuses, notes, done),
        context_settings=_HELP,
    )


def with_parameters(function: _Function, parameters: Sequence[inspect.Parameter]) -> _Function:
    """Give a function the parameters that Typer reads from its signature, and return it."""
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # a function may have one
    function.__annotations__ = {each.name: each.annotation for each in parameters}
    return function


def _epilog(statuses: Sequence[str], notes: str, done: str) -> str:
    table = _AS_IT_IS + exit_statuses(*statuses, done=done)
    return f"{table}\n\n{notes.strip()}" if notes else table
