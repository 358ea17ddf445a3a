"""Backups that stand still while they copy, so that a test interrupts them there, however fast the machine is.

`python -m tests.moving.held_backup --store URI --to FILE` is `ndb-models backup` that says when it has copied the first
pages, and then goes on only to find out that it is to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias

from ndb_models.cli.main import main
from ndb_models.moving import backups
from ndb_models.stores.sqlite.backup import copy_file
from ndb_models.stores.sqlite.options import SqliteUri

_SAID = "copying"

Copying: TypeAlias = Callable[[SqliteUri, Path, Callable[[int, int], None], Callable[[], bool]], None]


def held_copy(reports: int, tell: Callable[[], None]) -> Copying:
    """Return a `copy_file` that tells of so many reports of its progress, and then waits until it is to stop."""

    def copy(source: SqliteUri, target: Path, report: Callable[[int, int], None], stopped: Callable[[], bool]) -> None:
        left = reports

        def hold(done: int, total: int) -> None:
            nonlocal left
            report(done, total)
            left -= 1
            if left == 0:
                tell()
                while not stopped():
                    time.sleep(0.001)

        copy_file(source, target, hold, stopped)

    return copy


@contextlib.asynccontextmanager
async def held_backup(*arguments: str) -> AsyncIterator[Process]:
    """Start the command; yield when it stands still. It has ended afterwards: it is for the test to interrupt it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.moving.held_backup", *arguments), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 60) == f"{_SAID}\n".encode()
        yield process
        await asyncio.wait_for(process.wait(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _say() -> None:
    sys.stdout.write(f"{_SAID}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    setattr(backups, "copy_file", held_copy(1, _say))  # noqa: B010 - for a checker it is that function alone
    sys.exit(main(["backup", *sys.argv[1:]]))
