"""`ndb-models backup`: copies a store to a file while it is in use."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Final

import typer

from ndb_models.cli.commands import command
from ndb_models.cli.exits import INTERRUPTED, complain
from ndb_models.cli.output import JsonOption, print_json
from ndb_models.cli.progress import Progress
from ndb_models.cli.store_access import STORE_VARIABLE, cancel_on_sigterm, named_store

_NOTES: Final = """\
The backup is a SQLite file; processes go on using the store meanwhile. It has mode 0600, has passed SQLite's
integrity_check and has reached the disk before it gets its name. What fails or is interrupted leaves nothing behind.

A backup of sqlite:///PATH is the store as it was at one moment. To restore it, stop all processes that use the store
and put the backup in the place of its file.

A backup of redis://HOST has each live session whole, as it was at some moment of the backup. To restore it to an empty
store: ndb-models copy --from sqlite:///FILE --to redis://HOST. Sessions that have expired since stay away; the timers
of the others start afresh. A backup that was interrupted starts anew. To go on where it was cut short, make a copy
instead: ndb-models copy --from redis://HOST --to sqlite:///FILE.
"""


def add_backup_command(tree: typer.Typer) -> None:
    """Add `backup` to the tree of commands."""
    command(
        tree,
        "backup",
        "Write a checked copy of a store to a file, while it is in use.",
        summary="write a checked copy of a store to a file, while it is in use",
        done="the backup is there",
        statuses=(
            "1    the store cannot be read or is damaged, or the backup cannot be written",
            "2    called wrongly: there is no such store, or FILE is there already",
        ),
        notes=_NOTES,
    )(run_backup)


def run_backup(
    file: Annotated[str, typer.Option("--to", metavar="FILE", help="Where the backup goes.")],
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="URI", help=f"The store: sqlite:///PATH or redis://HOST ({STORE_VARIABLE})."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it is there.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Write a backup and print its size; return the exit status."""
    uri, _ = named_store(store)
    try:
        size = asyncio.run(_backup(uri, file, overwrite))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return complain("interrupted; nothing was written", INTERRUPTED)
    if as_json:
        print_json({"file": file, "bytes": size})
    else:
        sys.stdout.write(f"{file}: {size} bytes, checked\n")
    return 0


async def _backup(store: str, file: str, overwrite: bool) -> int:
    from ndb_models.moving import backup

    cancel_on_sigterm()
    with Progress("pages copied" if store.startswith("sqlite:") else "sessions copied") as progress:
        return await backup(store, file, overwrite=overwrite, report=progress.show)
