"""`ndb-models copy`: copies keys and sessions from one place to another."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndb_models.cli.commands import command
from ndb_models.cli.exits import FAILED, FAILURE, complain
from ndb_models.cli.output import JsonOption, print_json
from ndb_models.cli.progress import Progress
from ndb_models.cli.store_access import MaxPayloadOption, TokenFileOption, run_async
from ndb_models.errors import InvalidArgumentError

if TYPE_CHECKING:
    from ndb_models.moving import Copied, OptionArguments


def add_copy_command(tree: typer.Typer) -> None:
    """Add `copy` to the tree of commands."""
    command(
        tree,
        "copy",
        "Copies keys and sessions. Places are sqlite:///PATH, redis://HOST, snapshot:///DIR?sessions=NAME&keys=OTHER"
        " (data sets in NemesisDB's format), and, for keys to be copied to, ws://HOST:PORT/. What is there already is"
        " left alone: run it again to go on with what was cut short. Sessions keep their tokens; their timers start"
        " afresh. The bearer token of a server that is copied to is in NDB_TOKEN, NDB_ADMIN_TOKEN or --token-file.",
        summary="copy keys and sessions from one place to another",
        statuses=(FAILURE, "2    called wrongly; the line names the flag"),
    )(run_copy)


def run_copy(
    source: Annotated[str, typer.Option("--from", metavar="URI", help="Where to copy from.")],
    target: Annotated[str, typer.Option("--to", metavar="URI", help="Where to copy to.")],
    only: Annotated[
        Literal["keys", "sessions"] | None,
        typer.Option("--only", metavar="KIND", help="Copy only the keys, or only the sessions (default: all)."),
    ] = None,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    max_payload: MaxPayloadOption = None,
) -> int:
    """Copy, and print the numbers; return the exit status."""
    from ndb_models.moving import Kinds, copy

    connect = _connect_options(target, {"token_file": token_file, "max_payload": max_payload})

    async def run() -> None:
        with Progress("entries copied") as progress:
            copied = await copy(
                source,
                target,
                only=None if only is None else Kinds[only.upper()],
                report=lambda copied: progress.show(copied.keys + copied.sessions, detail=_described(copied)),
                names=("--from", "--to"),
                connect=connect,
            )
        if as_json:
            print_json({"keys": copied.keys, "sessions": copied.sessions, "there_already": copied.found})
        else:
            sys.stdout.write(f"{_described(copied)}\n")

    try:
        return run_async(run())
    except OSError as exc:
        return complain(exc, FAILED)


def _connect_options(target: str, given: dict[str, str | None]) -> OptionArguments | None:
    """Return the token and the payload limit for a target server; None if the target is no server.

    Raises:
        InvalidArgumentError: the token cannot be read or used, or an access flag is given without a target server.
    """
    from ndb_models.moving import is_server
    from ndb_models.server.configuration import OF_ACCESS, configure_access

    if is_server(target):
        access = configure_access(given, os.environ)
        return {"token": access.token, "max_payload": access.max_payload}
    for setting in OF_ACCESS:
        if given[setting.name] is not None:
            raise InvalidArgumentError(f"{setting.flag}: it is for a server that is copied to (--to ws://...)")
    return None


def _described(copied: Copied) -> str:
    most = "" if copied.most_sessions is None else f" of at most {copied.most_sessions}"
    return f"keys copied: {copied.keys}; sessions copied: {copied.sessions}{most}; there already: {copied.found}"
