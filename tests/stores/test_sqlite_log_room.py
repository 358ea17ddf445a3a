"""The log of a file has room before a commit needs it, so that the disk need not store a new length each time."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from ndb_models.stores.contract import SHARED
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
from ndb_models.stores.sqlite.log_room import LogRoom
from ndb_models.stores.sqlite.opening import open_for_writing
from tests.disk import build

LIVES = int(os.environ.get("NDB_CRASHES", "20")) // 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def make_room(room: LogRoom, connection: sqlite3.Connection) -> None:
    """Call `make` as after several commits: not each call looks at the log."""
    for _ in range(8):
        room.make(connection)


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


async def lengths_after_writes(path: Path, options: SqliteOptions, writes: int) -> list[int]:
    """Write one key at a time; return the length of the log after each write."""
    lengths: list[int] = []
    async with SqliteStore(path, options) as store:
        for number in range(writes):
            await store.set(SHARED, {f"key{number % 10}": b"%d" % number})
            lengths.append(log_of(path).stat().st_size)
    return lengths


async def test_few_commits_make_the_log_longer(path: Path) -> None:
    lengths = await lengths_after_writes(path, SqliteOptions(), 400)
    assert len(set(lengths[50:])) < 30


async def test_a_store_that_does_not_wait_for_the_disk_needs_no_room(path: Path) -> None:
    lengths = await lengths_after_writes(path, SqliteOptions(synchronous="normal"), 100)
    assert lengths[-1] - lengths[49] == 50 * (4096 + 24)


async def test_a_process_that_writes_little_has_a_short_log(path: Path) -> None:
    assert (await lengths_after_writes(path, SqliteOptions(), 4))[-1] < 64 * 1024


async def test_room_leaves_nothing_in_the_file(path: Path) -> None:
    async with SqliteStore(path) as store:
        for number in range(400):
            await store.set(SHARED, {"": b"%d" % number})
        assert await store.get_all(SHARED) == {"": b"399"}
    assert path.stat().st_size < 64 * 1024
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_no_room_is_made_while_others_write(path: Path) -> None:
    connection, other = open_for_writing(str(path), 1), open_for_writing(str(path), 1)
    room = LogRoom(str(path))
    connection.execute("INSERT INTO kv VALUES ('a', zeroblob(100000))")
    before, cache = log_of(path).stat().st_size, connection.execute("PRAGMA cache_size").fetchone()
    other.execute("BEGIN IMMEDIATE")
    make_room(room, connection)
    other.rollback()
    assert log_of(path).stat().st_size == before
    assert not connection.in_transaction
    assert connection.execute("PRAGMA cache_size").fetchone() == cache
    connection.execute("INSERT INTO kv VALUES ('b', zeroblob(10000))")
    longer = log_of(path).stat().st_size
    make_room(room, connection)
    assert log_of(path).stat().st_size > 1.6 * longer
    other.close()
    connection.close()


def test_a_log_that_starts_over_needs_no_more(path: Path) -> None:
    connection = open_for_writing(str(path), 1)
    room = LogRoom(str(path))
    connection.execute("INSERT INTO kv VALUES ('a', zeroblob(?))", (17 * 1024 * 1024,))
    before = log_of(path).stat().st_size
    make_room(room, connection)
    assert log_of(path).stat().st_size == before
    connection.close()


def test_a_file_without_a_log_needs_no_room(path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    make_room(LogRoom(str(path)), connection)
    assert not log_of(path).exists()
    connection.close()


@pytest.mark.slow
@pytest.mark.unmeasured
@pytest.mark.parametrize("loses_power", [False, True])
async def test_what_one_task_wrote_survives_a_death_while_room_is_made(tmp_path: Path, loses_power: bool) -> None:
    directory, shadow, library = tmp_path / "files", tmp_path / "shadow", build(tmp_path)
    directory.mkdir()
    shadow.mkdir()
    if library is None and loses_power:
        pytest.skip("there is no compiler for a disk that loses its power")
    # With several tasks, requests come together, and no room is made.
    program = (
        "import pathlib; from tests.stores import crashes; crashes.TASKS = 1;"
        f"crashes.main(pathlib.Path({str(directory)!r}), {LIVES})"
    )
    disk = {"LD_PRELOAD": str(library), "DISK_SHADOW": str(shadow)} if loses_power else {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), env={**os.environ, **disk}, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30 + 5 * LIVES)
    assert process.returncode == 0
    assert int(output) > LIVES
