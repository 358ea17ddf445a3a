"""The tree of all commands. A new command gets a line in `make_tree`."""

from __future__ import annotations

import functools
import os
from typing import Annotated, Any, Final

import rich as rich  # commands need it later: fail here if it is not installed
import typer
from typer.main import get_command

from ndb_models.cli.commands import Group, group
from ndb_models.cli.main import PROGRAM
from ndb_models.cli.usage_errors import explained
from ndb_models.errors import InvalidArgumentError
from ndb_models.version import __version__

_COMPLETION: Final = "_NDB_MODELS_COMPLETE"
_ORDER: Final = (
    *("serve", "health", "info", "doctor", "explain"),
    *("sessions", "keys", "config", "tokens", "copy", "backup"),
    *("schema", "audit", "bench", "conformance"),
)


class Root(Group):
    """The root of the tree, with its commands in the order of their help."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands: those of servers and data first, those of models and tests last."""
        return sorted(self.commands, key=_ORDER.index)


def make_tree() -> typer.Typer:
    """Return all commands. Their modules are imported here, their slow dependencies when a command runs."""
    from ndb_models.cli.audit import add_audit_command
    from ndb_models.cli.backup import add_backup_command
    from ndb_models.cli.benching import add_bench_command
    from ndb_models.cli.config_commands import add_config_commands
    from ndb_models.cli.conforming import add_conformance_command
    from ndb_models.cli.copying import add_copy_command
    from ndb_models.cli.doctoring import add_doctor_command
    from ndb_models.cli.info import add_info_command
    from ndb_models.cli.keys import add_keys_commands
    from ndb_models.cli.schema import add_schema_commands
    from ndb_models.cli.server_commands import add_server_commands
    from ndb_models.cli.sessions import add_sessions_commands
    from ndb_models.cli.tokens import add_tokens_commands

    tree = group(PROGRAM, _WHAT, kind=Root, completion=True, examples=_EXAMPLES)
    tree.callback(invoke_without_command=False)(_root)
    add_server_commands(tree)
    add_info_command(tree)
    add_sessions_commands(tree)
    add_keys_commands(tree)
    add_tokens_commands(tree)
    add_copy_command(tree)
    add_backup_command(tree)
    add_schema_commands(tree)
    add_audit_command(tree)
    add_doctor_command(tree)
    add_config_commands(tree)
    add_bench_command(tree)
    add_conformance_command(tree)
    return tree


_EXAMPLES: Final = """\
examples:
  export NDB_STORE=sqlite:///sessions.db     or --store URI with each command
  ndb-models sessions ls --where user_id=7
  ndb-models sessions end --where user_id=7
"""
_WHAT: Final = "A server that speaks NemesisDB's protocol, and tools for sessions, keys and models."


def _show_version(given: bool) -> None:
    if given:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version, and end.")
    ] = False,
) -> None:
    pass


def run_tree(arguments: list[str]) -> int:
    """Run a command of the tree, and return its exit status.

    Raises:
        InvalidArgumentError: the command line is wrong.
        NdbError: the command failed.
    """
    commands = _commands()
    instruction = os.environ.get(_COMPLETION)
    if instruction:
        return _complete(commands, instruction)
    try:
        # Not `commands.main()`: it would end the process itself when the reader of an output has gone.
        with commands.make_context(PROGRAM, arguments) as context:
            status: int | None = commands.invoke(context)
    except typer.Exit as exc:
        return exc.exit_code
    except typer.TyperException as exc:
        raise InvalidArgumentError(explained(exc)) from None
    return status or 0


@functools.cache
def _commands() -> Any:
    """Return the commands, ready to run. They are kept: making them takes longer than running most of them."""
    return get_command(make_tree())


def _complete(commands: Any, instruction: str) -> int:
    """Answer the completion script of a shell."""
    from typer.completion import shell_complete

    return shell_complete(commands, {}, PROGRAM, _COMPLETION, instruction)
