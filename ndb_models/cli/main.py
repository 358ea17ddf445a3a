"""The command line `ndb-models`, with all its subcommands.

An error is one line on standard error. Exit statuses: 0 done, 1 failed, 2 called or configured wrongly, 130
interrupted, 141 standard output has lost its reader.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ndb_models.cli.audit import add_audit_command
from ndb_models.cli.backup import add_backup_command
from ndb_models.cli.copying import add_copy_command
from ndb_models.cli.exits import FAILED, FAILURE, INTERRUPTED, MISUSE, MISUSED, UNREAD, complain, exit_statuses
from ndb_models.cli.parser import Parser
from ndb_models.cli.schema import add_schema_commands
from ndb_models.cli.serving import add_health_command, add_serve_command
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.server.running import discard_output
from ndb_models.version import __version__

_Command: TypeAlias = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 called wrongly, 130 interrupted, 141 unread.

    Raises:
        SystemExit: the help was shown (status 0), or the command line is wrong (2).
    """
    _prepare_streams()
    try:
        try:
            options = make_parser().parse_args(arguments)
            command: _Command = options.run
            return command(options)
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


def _prepare_streams() -> None:
    """Open the standard streams that a caller has closed, and let standard output take any text.

    Otherwise the next file to be opened would get the number of a missing stream, and terminal output in it.
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
    """Return the parser of the command line."""
    parser = Parser(
        prog="ndb-models",
        description="A server that speaks NemesisDB's protocol, and tools for data and models.",
        **exit_statuses(FAILURE, MISUSE),
    )
    parser.add_argument("--version", action="version", version=f"ndb-models {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_serve_command(commands)
    add_health_command(commands)
    add_copy_command(commands)
    add_backup_command(commands)
    add_schema_commands(commands)
    add_audit_command(commands)
    return parser
