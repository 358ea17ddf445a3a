"""`ndb-models serve`, which runs a server, and `ndb-models health`, which asks one whether it is ready."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, Final

from ndb_models.cli.exits import FAILED, FAILURE, MISUSE, complain, exit_statuses
from ndb_models.cli.parser import Parser, filled
from ndb_models.server.configuration import CONFIG_VARIABLE, PROBED, configure, configure_probe, require_startable
from ndb_models.server.health import why_not_ready
from ndb_models.server.running import run
from ndb_models.server.setting_fields import Setting
from ndb_models.server.settings import SETTINGS, Settings

SERVE: Final = "run the server until it is told to stop (SIGINT or SIGTERM)"
HEALTH: Final = "ask a server on this machine whether it is ready"


def add_serve_command(commands: Any) -> None:
    """Add `serve` to the subcommands of a parser."""
    parser = commands.add_parser(
        "serve",
        help=SERVE,
        description=filled(
            "Runs the server until SIGINT or SIGTERM. Every flag but --config is also a variable of the environment,"
            " and a key of the configuration file: --max-payload, NDB_MAX_PAYLOAD, maxPayload. The command line goes"
            " first, then the environment, then the file."
        ),
        epilog=exit_statuses(FAILURE, MISUSE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_settings(parser, SETTINGS)
    parser.set_defaults(run=run_serve)


def add_health_command(commands: Any) -> None:
    """Add `health` to the subcommands of a parser."""
    parser = commands.add_parser(
        "health",
        help=HEALTH,
        description=filled(
            "Asks /readyz of a server on this machine. It is found as serve would be started: by these flags, by the"
            " variables of the environment, and by the configuration file. Nothing is written if the server is ready."
        ),
        epilog=exit_statuses("1    it is not ready, or not there; one line on standard error says why", MISUSE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_settings(parser, PROBED)
    parser.set_defaults(run=run_health)


def _add_settings(parser: Parser, settings: Sequence[Setting]) -> None:
    """Add the flag of each setting. Values stay texts until all sources are combined: see `configure`."""
    parser.add_argument("--config", metavar="FILE", help=f"NemesisDB's configuration file ({CONFIG_VARIABLE})")
    for setting in settings:
        if setting.is_switch:
            parser.add_argument(setting.flag, action="store_true", default=None, help=setting.meaning)
        else:
            parser.add_argument(
                setting.flag,
                metavar=setting.metavar,
                action="append" if setting.many else "store",
                help=setting.meaning + _default(setting),
            )


def run_serve(options: argparse.Namespace) -> int:
    """Run a server until it is told to stop; return the exit status."""

    def read() -> Settings:
        settings = configure(vars(options), os.environ)
        require_startable(settings)
        return settings

    return run(read(), read)


def run_health(options: argparse.Namespace) -> int:
    """Ask a server whether it is ready; return the exit status."""
    host, port, secure = configure_probe(vars(options), os.environ)
    reason = why_not_ready(host, port, secure=secure)
    return 0 if reason is None else complain(reason, FAILED)


def _default(setting: Setting) -> str:
    if setting.many:
        return "; may be repeated"
    return "" if setting.default is None else f" (default: {setting.default})"
