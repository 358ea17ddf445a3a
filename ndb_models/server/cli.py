"""The command line: `ndb-models serve`, `ndb-models health`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ndb_models.errors import InvalidArgumentError
from ndb_models.server.configuration import CONFIG_VARIABLE, Configuration, configure
from ndb_models.server.health import is_healthy
from ndb_models.server.running import run
from ndb_models.server.settings import SETTINGS, Setting
from ndb_models.version import __version__

_Command: TypeAlias = Callable[[argparse.ArgumentParser, argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0 done, 1 failed, 2 called wrongly."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    command: _Command = options.command
    return command(parser, options)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="ndb-models", description="A server that speaks NemesisDB's protocol.")
    parser.add_argument("--version", action="version", version=f"ndb-models {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run the server until it is told to stop (SIGINT or SIGTERM)",
        description="Every option but --config is also a variable of the environment, and a key of the configuration"
        " file: --max-payload, NDB_MAX_PAYLOAD, maxPayload. The command line goes first, then the environment.",
    )
    _add_settings(serve)
    serve.set_defaults(command=_serve)
    health = commands.add_parser(
        "health",
        help="ask the server of this configuration, on this machine, whether it is ready: status 0 or 1",
        description="Takes the same options, variables and file as serve.",
    )
    _add_settings(health)
    health.set_defaults(command=_health)
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


if __name__ == "__main__":
    sys.exit(main())
