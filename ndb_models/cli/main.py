"""The command line `ndb-models`, with all its subcommands.

An error is one line on standard error. Exit statuses: 0 done, 1 failed, 2 called or configured wrongly, 130
interrupted, 141 the reader of standard output has gone.

`serve`, `health` and `explain` need nothing beyond the package. The other commands are built with Typer, which is
imported only for them.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from ndb_models.cli.exits import FAILED, FAILURE, INTERRUPTED, MISUSE, MISUSED, UNREAD, complain, exit_statuses
from ndb_models.cli.explaining import add_explain_command
from ndb_models.cli.parser import Parser
from ndb_models.cli.serving import add_health_command, add_serve_command
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.server.running import discard_output
from ndb_models.version import __version__

PROGRAM: Final = "ndb-models"
WITHOUT_EXTRA: Final = ("serve", "health", "explain")
"""The commands that need no extra."""

_EXTRA: Final = "pip install 'ndb_models[cli]'"
_OF_EXTRA: Final = ("rich", "typer")
_ARGUMENTS_OF_NO_COMMAND: Final[Sequence[list[str]]] = ([], ["--help"], ["--version"])

_Command: TypeAlias = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 called wrongly, 130 interrupted, 141 unread.

    Raises:
        SystemExit: of `serve`, `health` and `explain` alone: the help was shown (status 0), or the call is wrong (2).
    """
    _prepare_streams()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        try:
            return _run(given)
        except InvalidArgumentError as exc:
            return complain(exc, MISUSED)
        except NdbError as exc:
            return complain(exc, FAILED)
        finally:
            sys.stdout.flush()  # at interpreter exit, a lost reader would print a traceback
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return UNREAD
    except OSError as exc:
        discard_output()
        return complain(f"standard output cannot be written: {exc.strerror or exc}", FAILED)


def _run(given: list[str]) -> int:
    if given and given[0] in WITHOUT_EXTRA:
        return _run_without_extra(given)
    try:
        from ndb_models.cli.tree import run_tree
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in _OF_EXTRA:
            raise
        if given in _ARGUMENTS_OF_NO_COMMAND:
            return _run_without_extra(given)
        return complain(f"all commands but {', '.join(WITHOUT_EXTRA)} need the command line's extra: {_EXTRA}", MISUSED)
    return run_tree(given)


def _run_without_extra(given: list[str]) -> int:
    options = make_parser().parse_args(given)
    run: _Command = options.run
    return run(options)


def _prepare_streams() -> None:
    """Open the standard streams that a caller has closed, and let standard output take any text.

    If a stream stayed closed, the next file to be opened would get its number, and would receive terminal output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for the life of the process
    output: object = sys.stdout
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="backslashreplace")  # like standard error: a file name may be any text


def make_parser() -> Parser:
    """Return the parser of the commands that need no extra."""
    statuses = exit_statuses(FAILURE, MISUSE)
    parser = Parser(
        prog=PROGRAM,
        description="A server that speaks NemesisDB's protocol. Tools for data and models are in the extra 'cli'.",
        epilog=f"{statuses}\n\nmore commands:\n  {_EXTRA}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_commands()
    add_serve_command(commands)
    add_health_command(commands)
    add_explain_command(commands)
    return parser
