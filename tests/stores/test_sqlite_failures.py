"""What cannot be opened or done, each with an error of its own; and that nothing is lost by it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ndb_models.errors import (
    StoreError,
    StoreFormatError,
    StoreLockedError,
    StoreVersionError,
)
from ndb_models.stores.contract import NEVER, SHARED
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
from ndb_models.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS, prepare
from tests.disk import build
from tests.stores.conftest import TOKEN

IMPATIENT = SqliteOptions(busy_timeout=0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be another process that is in the middle of writing."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.close()


async def opened(path: Path, options: SqliteOptions | None = None) -> None:
    async with SqliteStore(path, options):
        pass


class TestWhatCannotBeOpened:
    async def test_a_file_that_is_no_database(self, path: Path) -> None:
        path.write_bytes(b"Dear diary, " * 1000)
        with pytest.raises(StoreFormatError, match="no SQLite database") as failed:
            await opened(path)
        assert failed.value.store == str(path)
        assert isinstance(failed.value.__cause__, sqlite3.DatabaseError)
        assert path.read_bytes() == b"Dear diary, " * 1000

    async def test_the_database_of_something_else_is_left_as_it_is(self, path: Path) -> None:
        execute(path, "CREATE TABLE customer (name)")
        before = path.read_bytes()
        with pytest.raises(StoreFormatError, match="none of this package"):
            await opened(path)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    async def test_a_database_that_says_it_is_something_elses(self, path: Path) -> None:
        execute(path, "PRAGMA application_id = 1", "PRAGMA user_version = 1")
        with pytest.raises(StoreFormatError, match="none of this package"):
            await opened(path)

    async def test_the_store_of_a_newer_version_is_left_as_it_is(self, path: Path) -> None:
        await opened(path)
        execute(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        with pytest.raises(StoreVersionError, match="upgrade") as failed:
            await opened(path)
        assert (failed.value.found, failed.value.known) == (len(MIGRATIONS) + 1, len(MIGRATIONS))

    @pytest.mark.parametrize("name", [".", "missing/sessions.db"])
    async def test_a_directory_and_what_is_in_none(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(StoreError, match="cannot be opened"):
            await opened(tmp_path / name)

    async def test_a_file_that_others_keep_locked(self, path: Path) -> None:
        path.touch()
        with locked(path), pytest.raises(StoreLockedError, match="busy_timeout") as failed:
            await opened(path, IMPATIENT)
        assert isinstance(failed.value, TimeoutError)
        await opened(path)

    async def test_one_who_waits_for_a_lock_gets_it_when_it_is_free(self, path: Path) -> None:
        path.touch()
        with locked(path):
            opening = asyncio.create_task(opened(path))
            await asyncio.sleep(0)
            assert not opening.done()
        await opening

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no such modes")
    @pytest.mark.parametrize("what", ["file", "directory"])
    async def test_a_file_or_directory_that_may_not_be_written_to(self, what: str) -> None:
        # Not below the directory of the tests, which is closed to others.
        with tempfile.TemporaryDirectory() as home:
            path = Path(home, "sessions.db")
            await opened(path)
            mode = {"file": (0o444, 0o755), "directory": (0o666, 0o555)}[what]
            path.chmod(mode[0])
            path.parent.chmod(mode[1])
            said = await asyncio.to_thread(said_to_nobody, path)
        assert said == "StoreReadOnlyError: the file or its directory cannot be written to"


def said_to_nobody(path: Path) -> str:
    """Open a store as a user to whom modes mean something; return the error."""
    program = f"""
import asyncio, os
from ndb_models.errors import StoreError
from ndb_models.stores.sqlite import SqliteStore
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

async def main():
    try:
        async with SqliteStore({str(path)!r}) as store:
            await store.set(None, {{"a": b"1"}})
    except StoreError as exc:
        print(f"{{type(exc).__name__}}: {{exc.reason}}")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestWhatFailsLater:
    async def test_a_write_that_others_keep_out_fails_and_the_next_is_done(self, path: Path) -> None:
        async with SqliteStore(path, IMPATIENT) as store:
            await store.set(SHARED, {"a": b"1"})
            with locked(path):
                writes = [store.set(SHARED, {"a": b"2"}), store.create(TOKEN, NEVER)]
                for failure in await asyncio.gather(*writes, return_exceptions=True):
                    assert isinstance(failure, StoreLockedError)
                assert await store.get(SHARED, ["a"]) == {"a": b"1"}
            assert await store.exist([TOKEN]) == []
            await store.set(SHARED, {"a": b"3"})
            assert await store.get(SHARED, ["a"]) == {"a": b"3"}

    async def test_a_lock_that_does_not_last_is_waited_for(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            with locked(path):
                writing = asyncio.create_task(store.set(SHARED, {"a": b"1"}))
                assert await store.count(SHARED) == 0
                assert not writing.done()
            await writing

    async def test_a_damaged_file_is_said_to_be_damaged(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            await store.set(SHARED, {f"key{number}": bytes(1000) for number in range(1000)})
        with path.open("r+b") as file:
            file.seek(4096 * 3)
            file.write(b"\xff" * 4096 * 200)
        with pytest.raises(StoreFormatError, match="damaged"):
            async with SqliteStore(path) as store:
                await store.get_all(SHARED)

    async def test_tables_that_are_gone_are_an_error_that_names_no_value(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            execute(path, "DROP TABLE session_key")
            with pytest.raises(StoreError) as failed:
                await store.create(TOKEN, NEVER, {"secret": b'"hunter2"'})
            assert "hunter2" not in f"{failed.value} {failed.value.__cause__}"
            assert str(TOKEN) not in f"{failed.value} {failed.value.__cause__}"
            assert await store.exist([TOKEN]) == []


@pytest.mark.slow
async def test_a_disk_that_is_full_or_broken_fails_writes_and_nothing_else_until_it_is_well_again(
    tmp_path: Path,
) -> None:
    library = build(tmp_path)
    if library is None:
        pytest.skip("there is no compiler for a disk that fills up")
    environment = {**os.environ, "LD_PRELOAD": library}
    environment |= {name: str(tmp_path / name) for name in ("DISK_FULL", "DISK_BROKEN")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stores.disk_user", str(tmp_path / "sessions.db")),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, log = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, log.decode()
    full = "there is no room left; nothing of this was written"
    broken = "the system failed to read or write it; nothing of this was written"
    failed = "the request to write shared keys (KV_SET) failed"
    meaning = f"{failed} with status 1000 UNKNOWN: the server could not carry out the request"
    assert output.decode().splitlines() == [
        *[f"StoreFullError: {full}"] * 3,
        f"{meaning} ({full})",
        *[f"StoreError: {broken}"] * 3,
        f"{meaning} ({broken})",
        "['before', 'last']",
    ]
    assert [line.partition(":")[0] for line in log.decode().splitlines()] == [failed, failed]


class TestMigrations:
    """A version of the schema follows the other."""

    NEXT = (*MIGRATIONS, ("ALTER TABLE session ADD COLUMN note TEXT", "CREATE INDEX noted ON session (note)"))

    @pytest.fixture
    async def connection(self, path: Path) -> sqlite3.Connection:
        """To a file of the present version, with a session."""
        async with SqliteStore(path) as store:
            await store.create(TOKEN, NEVER, {"a": b"1"})
        return sqlite3.connect(path, isolation_level=None)

    async def test_an_older_store_becomes_a_newer_one_with_all_that_is_in_it(
        self, connection: sqlite3.Connection, path: Path
    ) -> None:
        for _ in range(2):
            prepare(connection, str(path), self.NEXT)
            assert connection.execute("PRAGMA user_version").fetchone() == (len(self.NEXT),)
            assert connection.execute("SELECT note FROM session").fetchall() == [(None,)]
            assert connection.execute("SELECT value FROM session_key").fetchall() == [(b"1",)]
        connection.close()
        with pytest.raises(StoreVersionError):
            await opened(path)

    async def test_one_that_fails_half_way_changes_nothing(self, connection: sqlite3.Connection, path: Path) -> None:
        with pytest.raises(sqlite3.OperationalError):
            prepare(connection, str(path), (*MIGRATIONS, (*self.NEXT[-1], "CREATE NONSENSE")))
        connection.close()
        async with SqliteStore(path) as store:
            assert await store.get_all(TOKEN) == {"a": b"1"}

    async def test_a_new_file_goes_through_all_of_them(self, path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        prepare(connection, str(path), self.NEXT)
        assert connection.execute("SELECT note FROM session").fetchall() == []
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        connection.close()
