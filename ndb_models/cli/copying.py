"""`ndb-models copy`: copies keys and sessions from one place to another."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from typing import Any, Final

from ndb_models.cli.exits import FAILED, FAILURE, complain, exit_statuses
from ndb_models.cli.flags import add_flags
from ndb_models.errors import InvalidArgumentError
from ndb_models.moving import Copied, Kinds, OptionArguments, copy, is_server
from ndb_models.server.configuration import OF_ACCESS, configure_access
from ndb_models.types import Clock

_SECONDS_BETWEEN_REPORTS: Final = 1.0


def add_copy_command(commands: Any) -> None:
    """Add `copy` to the subcommands of a parser."""
    copying = commands.add_parser(
        "copy",
        help="copy keys and sessions from one place to another",
        description="Copies keys and sessions. Places are sqlite:///PATH, redis://HOST, snapshot:///DIR?sessions=NAME&keys=OTHER"
        " (data sets in NemesisDB's format), and, for keys to be copied to, ws://HOST:PORT/. What is there already is"
        " left alone: run it again to go on with what was cut short. Sessions keep their tokens; their timers start"
        " afresh. The bearer token of a server that is copied to is in NDB_TOKEN, NDB_ADMIN_TOKEN or --token-file.",
        **exit_statuses(FAILURE, "2    called wrongly; the line names the flag"),
    )
    copying.add_argument("--from", required=True, dest="source", metavar="URI", help="where to copy from")
    copying.add_argument("--to", required=True, dest="target", metavar="URI", help="where to copy to")
    copying.add_argument("--only", choices=["keys", "sessions"], help="copy only these (default: all that there is)")
    add_flags(copying, OF_ACCESS)
    copying.set_defaults(run=run_copy)


def run_copy(options: argparse.Namespace) -> int:
    """Copy, and print the numbers; return the exit status."""
    try:
        asyncio.run(_copy(options))
    except OSError as exc:
        return complain(exc, FAILED)
    return 0


async def _copy(options: argparse.Namespace) -> None:
    copied = await copy(
        options.source,
        options.target,
        only=None if options.only is None else Kinds[options.only.upper()],
        report=_Progress(time.monotonic),
        names=("--from", "--to"),
        connect=_connect_options(options),
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
    most = "" if copied.most_sessions is None else f" of at most {copied.most_sessions}"
    return f"keys copied: {copied.keys}; sessions copied: {copied.sessions}{most}; there already: {copied.found}"
