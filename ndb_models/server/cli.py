"""The command line: `ndb-models serve` and `health`, and the subcommands that need no server."""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from ndb_models.cli.backup import add_backup_command
from ndb_models.cli.schema import add_schema_commands
from ndb_models.copying import Copied, Kinds, copy
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.server.configuration import CONFIG_VARIABLE, Configuration, configure
from ndb_models.server.health import is_healthy
from ndb_models.server.running import run
from ndb_models.server.settings import SETTINGS, Setting
from ndb_models.types import Clock
from ndb_models.version import __version__

_Command: TypeAlias = Callable[[argparse.Namespace], int]

_INTERRUPTED: Final = 130
_SECONDS_BETWEEN_REPORTS: Final = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0 done, 1 failed, 2 called wrongly, 130 interrupted."""
    options = make_parser().parse_args(arguments)
    command: _Command = options.run
    return command(options)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="ndb-models",
        description="A server that speaks NemesisDB's protocol, and tools for data and models.",
    )
    parser.add_argument("--version", action="version", version=f"ndb-models {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run the server until it is told to stop (SIGINT or SIGTERM)",
        description="Every option but --config is also a variable of the environment, and a key of the configuration"
        " file: --max-payload, NDB_MAX_PAYLOAD, maxPayload. The command line goes first, then the environment.",
    )
    _add_settings(serve)
    serve.set_defaults(run=functools.partial(_serve, serve))
    health = commands.add_parser(
        "health",
        help="ask the server of this configuration, on this machine, whether it is ready: status 0 or 1",
        description="Takes the same options, variables and file as serve.",
    )
    _add_settings(health)
    health.set_defaults(run=functools.partial(_health, health))
    _add_copy_command(commands)
    add_backup_command(commands)
    add_schema_commands(commands)
    return parser


def _serve(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    return run(_configuration(parser, options), os.environ)


def _health(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    return 0 if is_healthy(_configuration(parser, options).server) else 1


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help=f"NemesisDB's configuration file ({CONFIG_VARIABLE})")
    for setting in SETTINGS:
        # Texts until all sources are together: see `configure`.
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


def _configuration(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Configuration:
    """Return what all sources say; end with status 2 where one says what cannot be."""
    try:
        return configure(vars(options), os.environ)
    except InvalidArgumentError as exc:
        parser.error(str(exc))


def _add_copy_command(commands: Any) -> None:
    copying = commands.add_parser(
        "copy",
        help="copy keys and sessions from one place to another",
        description="Places are sqlite:///PATH, snapshot:///DIR?sessions=NAME&keys=NAME (data sets in NemesisDB's"
        " format), and, for keys to be copied to, ws://HOST:PORT/. What is there already is left alone: run it again to"
        " go on with what was cut short. Sessions keep their tokens; their timers start afresh.",
    )
    copying.add_argument("--from", required=True, dest="source", metavar="URI", help="where to copy from")
    copying.add_argument("--to", required=True, dest="target", metavar="URI", help="where to copy to")
    copying.add_argument("--only", choices=["keys", "sessions"], help="copy only these (default: all that there is)")
    copying.set_defaults(run=_run_copy)


def _run_copy(options: argparse.Namespace) -> int:
    try:
        asyncio.run(_copy(options))
    except KeyboardInterrupt:
        sys.stderr.write("ndb-models: interrupted\n")
        return _INTERRUPTED
    except (NdbError, OSError) as exc:
        sys.stderr.write(f"ndb-models: {exc}\n")
        return 1
    return 0


async def _copy(options: argparse.Namespace) -> None:
    only = None if options.only is None else Kinds[options.only.upper()]
    copied = await copy(options.source, options.target, only=only, report=_Progress(time.monotonic))
    sys.stdout.write(f"{_described(copied)}\n")


class _Progress:
    """Writes to standard error how far it is, once in a while."""

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
