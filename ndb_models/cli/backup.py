"""`ndb-models backup`: copies a store to a file while it is in use."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from typing import Any, Final

from ndb_models.cli.exits import INTERRUPTED, complain
from ndb_models.moving import backup

_EPILOG: Final = """\
The backup is a SQLite file; processes go on using the store meanwhile. It has mode 0600, has passed SQLite's
integrity_check and has reached the disk before it gets its name. What fails or is interrupted leaves nothing behind.

A backup of sqlite:///PATH is the store as it was at one moment. To restore it, stop all processes that use the store
and put the backup in the place of its file.

A backup of redis://HOST has each live session whole, as it was at some moment of the backup. To restore it to an empty
store: ndb-models copy --from sqlite:///FILE --to redis://HOST. Sessions that have expired since stay away; the timers
of the others start afresh. A backup that was interrupted starts anew. To go on where it was cut short, make a copy
instead: ndb-models copy --from redis://HOST --to sqlite:///FILE.

exit status:
  0    the backup is there
  1    the store cannot be read or is damaged, or the backup cannot be written
  2    called wrongly: there is no such store, or FILE is there already
  130  interrupted (SIGINT or SIGTERM)
"""


def add_backup_command(commands: Any) -> None:
    """Add `backup` to the subcommands of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "backup",
        help="write a checked copy of a store to a file, while it is in use",
        description="Write a checked copy of a store to a file, while it is in use.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", required=True, metavar="URI", help="the store: sqlite:///PATH or redis://HOST")
    parser.add_argument("--to", required=True, dest="file", metavar="FILE", help="where the backup goes")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
    parser.set_defaults(run=run_backup)


def run_backup(options: argparse.Namespace) -> int:
    """Write a backup and print its size; return the exit status."""
    try:
        size = asyncio.run(_backup(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return complain("interrupted; nothing was written", INTERRUPTED)
    sys.stdout.write(f"{options.file}: {size} bytes, checked\n")
    return 0


async def _backup(options: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    progress = _Progress()
    report = progress if sys.stderr.isatty() else None
    try:
        return await backup(options.store, options.file, overwrite=options.overwrite, report=report)
    finally:
        progress.end()


class _Progress:
    """Shows on one line of a terminal how much has been copied."""

    def __init__(self) -> None:
        self._percent = -1

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if percent != self._percent:
            self._percent = percent
            sys.stderr.write(f"\rndb-models: {percent} % copied")
            sys.stderr.flush()

    def end(self) -> None:
        """End the line, if there is one."""
        if self._percent >= 0:
            sys.stderr.write("\n")
