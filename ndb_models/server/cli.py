"""The command line: `ndb-models serve` and `health`, and the subcommands that need no server.

An error is one line on standard error. Exit statuses: 0 done, 1 failed, 2 called or configured wrongly, 130
interrupted, 141 standard output has lost its reader.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from ndb_models.cli.backup import add_backup_command
from ndb_models.cli.parser import Parser, exit_statuses
from ndb_models.cli.schema import add_schema_commands
from ndb_models.copying import Copied, Kinds, OptionArguments, copy, is_server
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.server.configuration import (
    CONFIG_VARIABLE,
    OF_ACCESS,
    PROBED,
    Configuration,
    configure,
    configure_access,
    configure_probe,
)
from ndb_models.server.health import why_not_ready
from ndb_models.server.running import discard_output, run
from ndb_models.server.settings import SETTINGS, Setting
from ndb_models.types import Clock
from ndb_models.version import __version__

_Command: TypeAlias = Callable[[argparse.Namespace], int]

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130
UNREAD: Final = 141
"""The status that a shell shows for a program whose output pipe has lost its reader."""

_SECONDS_BETWEEN_REPORTS: Final = 1.0
_FAILURE: Final = "1    it failed; one line on standard error says why"
_MISUSE: Final = "2    called or configured wrongly; the line names the flag, the variable or the key in the file"


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
        finally:
            sys.stdout.flush()  # at interpreter exit, a lost reader would print a traceback
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return UNREAD
    except OSError as exc:
        discard_output()
        return _complain(f"standard output cannot be written: {exc.strerror or exc}", FAILED)


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


def _complain(message: str, status: int) -> int:
    sys.stderr.write(f"ndb-models: {message}\n")
    return status


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ndb-models",
        description="A server that speaks NemesisDB's protocol, and tools for data and models.",
        **exit_statuses(_FAILURE, _MISUSE),
    )
    parser.add_argument("--version", action="version", version=f"ndb-models {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run the server until it is told to stop (SIGINT or SIGTERM)",
        description="Runs the server until SIGINT or SIGTERM. Every flag but --config is also a variable of the"
        " environment, and a key of the configuration file: --max-payload, NDB_MAX_PAYLOAD, maxPayload. The command"
        " line goes first, then the environment, then the file.",
        **exit_statuses(_FAILURE, _MISUSE),
    )
    _add_settings(serve, SETTINGS)
    serve.set_defaults(run=_serve)
    health = commands.add_parser(
        "health",
        help="ask a server on this machine whether it is ready: status 0 or 1",
        description="Asks /readyz of a server on this machine. It is found as serve would be started: by these flags,"
        " by the variables of the environment, and by the configuration file. Nothing is written if the server is"
        " ready.",
        **exit_statuses("1    it is not ready, or not there; one line on standard error says why", _MISUSE),
    )
    _add_settings(health, PROBED)
    health.set_defaults(run=_health)
    _add_copy_command(commands)
    add_backup_command(commands)
    add_schema_commands(commands)
    return parser


def _serve(options: argparse.Namespace) -> int:
    def read() -> Configuration:
        configuration = configure(vars(options), os.environ)
        configuration.require_startable()
        return configuration

    try:
        configuration = read()
    except InvalidArgumentError as exc:
        return _complain(str(exc), MISUSED)
    return run(configuration, read)


def _health(options: argparse.Namespace) -> int:
    try:
        host, port, secure = configure_probe(vars(options), os.environ)
    except InvalidArgumentError as exc:
        return _complain(str(exc), MISUSED)
    reason = why_not_ready(host, port, secure=secure)
    return 0 if reason is None else _complain(reason, FAILED)


def _add_settings(parser: Parser, settings: Sequence[Setting]) -> None:
    parser.add_argument("--config", metavar="FILE", help=f"NemesisDB's configuration file ({CONFIG_VARIABLE})")
    _add_flags(parser, settings)


def _add_flags(parser: Parser, settings: Sequence[Setting]) -> None:
    for setting in settings:
        # Values stay texts until all sources are combined: see `configure`.
        if setting.read is None:
            parser.add_argument(setting.flag, action="store_true", default=None, help=setting.help)
        else:
            parser.add_argument(
                setting.flag,
                metavar=setting.metavar,
                action="append" if setting.many else "store",
                help=setting.help + _default(setting),
            )


def _default(setting: Setting) -> str:
    if setting.many:
        return "; may be repeated"
    return "" if setting.default is None else f" (default: {setting.default})"


def _add_copy_command(commands: Any) -> None:
    copying = commands.add_parser(
        "copy",
        help="copy keys and sessions from one place to another",
        description="Copies keys and sessions. Places are sqlite:///PATH, snapshot:///DIR?sessions=NAME&keys=OTHER"
        " (data sets in NemesisDB's format), and, for keys to be copied to, ws://HOST:PORT/. What is there already is"
        " left alone: run it again to go on with what was cut short. Sessions keep their tokens; their timers start"
        " afresh. The bearer token of a server that is copied to is in NDB_TOKEN, NDB_ADMIN_TOKEN or --token-file.",
        **exit_statuses(_FAILURE, "2    called wrongly; the line names the flag"),
    )
    copying.add_argument("--from", required=True, dest="source", metavar="URI", help="where to copy from")
    copying.add_argument("--to", required=True, dest="target", metavar="URI", help="where to copy to")
    copying.add_argument("--only", choices=["keys", "sessions"], help="copy only these (default: all that there is)")
    _add_flags(copying, OF_ACCESS)
    copying.set_defaults(run=_run_copy)


def _run_copy(options: argparse.Namespace) -> int:
    try:
        asyncio.run(_copy(options))
    except InvalidArgumentError as exc:
        return _complain(str(exc), MISUSED)
    except (NdbError, OSError) as exc:
        return _complain(str(exc), FAILED)
    return 0


async def _copy(options: argparse.Namespace) -> None:
    only = None if options.only is None else Kinds[options.only.upper()]
    progress = _Progress(time.monotonic)
    connect = _connect_options(options)
    copied = await copy(
        options.source,
        options.target,
        only=only,
        report=progress,
        names=("--from", "--to"),
        connect=connect,
    )
    sys.stdout.write(f"{_described(copied)}\n")


def _connect_options(options: argparse.Namespace) -> OptionArguments | None:
    """Return the token and the payload limit for a target server; None if the target is no server.

    Raises:
        InvalidArgumentError: the token cannot be read or used, or an access flag is given without a target server.
    """
    if is_server(options.target):
        access = configure_access(vars(options), os.environ)
        return {"token": access.token, "max_payload": access.max_payload}
    for setting in OF_ACCESS:
        if getattr(options, setting.name) is not None:
            raise InvalidArgumentError(f"{setting.flag}: it is for a server that is copied to (--to ws://...)")
    return None


class _Progress:
    """Reports progress on standard error, at most once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._written = clock()

    def __call__(self, copied: Copied) -> None:
        now = self._clock()
        if now - self._written >= _SECONDS_BETWEEN_REPORTS:
            self._written = now
            sys.stderr.write(f"ndb-models: {_described(copied)}\n")


def _described(copied: Copied) -> str:
    return f"keys copied: {copied.keys}; sessions copied: {copied.sessions}; there already: {copied.found}"


if __name__ == "__main__":
    sys.exit(main())
