"""`ndb-models tokens new`: makes a bearer token for a server."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from ndb_models.cli.commands import command, group
from ndb_models.cli.output import JsonOption, print_json
from ndb_models.errors import InvalidArgumentError
from ndb_models.private_files import make_private_file, warning_if_open_to_others
from ndb_models.raising import raise_without_context

# Twice the bits that cannot be guessed.
_BYTES: Final = 32

_NOTES: Final = """\
The server takes the file by `ndb-models serve --token-file FILE`, and reads it again on SIGHUP. Programs take the token
itself: NdbClient.connect(uri, token=...), or NDB_TOKEN for these commands.
"""


def add_tokens_commands(tree: typer.Typer) -> None:
    """Add `tokens` to the tree of commands."""
    tokens = group(
        "tokens", "Makes the bearer tokens that open a server.", summary="make bearer tokens for a server", parent=tree
    )
    command(
        tokens,
        "new",
        "Makes a bearer token of 256 random bits, and prints it; with --role as a line of a server's token file. With"
        " --add-to the line goes to the end of a file of mode 0600, and nothing is printed.",
        summary="make a bearer token for a server",
        notes=_NOTES,
    )(run_new)


def run_new(
    role: Annotated[
        Literal["data", "admin"] | None,
        typer.Option("--role", metavar="ROLE", help="data: all commands on data; admin: those for admins too."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--add-to", metavar="FILE", help="The token file of the server; made if missing.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Make a token; return the exit status."""
    token = secrets.token_urlsafe(_BYTES)
    if file is not None:
        if role is None:
            raise InvalidArgumentError("--add-to: a line of the file needs a role, so give --role data or --role admin")
        _add(file, f"{role}:{token}\n")
        sys.stderr.write(f"the token was added to {file}\n")
        return 0
    if as_json:
        print_json({"role": role, "token": token})
    else:
        sys.stdout.write(f"{role}:{token}\n" if role is not None else f"{token}\n")
    return 0


def _add(file: Path, line: str) -> None:
    """Add a line to a token file, behind a line break if the last line lacks one.

    Raises:
        InvalidArgumentError: the file cannot be written, or others may read it.
    """
    try:
        descriptor = make_private_file(file) if not file.exists() else os.open(file, os.O_RDWR)
    except OSError as exc:
        raise_without_context(InvalidArgumentError(f"--add-to: {file} cannot be written: {exc.strerror or exc}"))
    with os.fdopen(descriptor, "r+b") as opened:
        warning = warning_if_open_to_others(file)
        if warning is not None:
            raise InvalidArgumentError(f"--add-to: {warning}")
        end = opened.seek(0, os.SEEK_END)
        if end:
            opened.seek(end - 1)
            line = line if opened.read(1) == b"\n" else f"\n{line}"
        opened.write(line.encode())
