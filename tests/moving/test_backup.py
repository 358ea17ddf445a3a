"""A backup of a store in a file: as of one moment, private, checked, and there whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ndb_models import NdbClient, Repository, SessionModel
from ndb_models.errors import InvalidArgumentError, NdbError, StoreError, StoreFormatError, StoreVersionError
from ndb_models.moving import backup
from ndb_models.stores.contract import NEVER, SHARED, ExpirySettings
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.stores.sqlite.backup import synchronise
from tests.disk import build
from tests.moving.held_backup import held_backup, held_copy


class User(SessionModel, schema="backup-user"):
    username: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "store"
    directory.mkdir()
    return directory / "sessions.db"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "backups"
    directory.mkdir()
    return directory / "backup.db"


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def uri(path: Path) -> str:
    return f"sqlite:///{path}"


async def make(path: Path, sessions: int = 3, size: int = 10) -> None:
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"a": b"1"})
        await asyncio.gather(*(store.create(token, NEVER, {"b": b" " * size + b"2"}) for token in range(sessions)))


def told_on_loop(event: asyncio.Event) -> Callable[[], None]:
    """Return what sets an event of this loop from another thread."""
    loop = asyncio.get_running_loop()

    def tell() -> None:
        loop.call_soon_threadsafe(event.set)

    return tell


class Hold:
    """Holds the thread of a backup before it synchronises a path, until the backup was cancelled.

    Args:
        path: None for the first path.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._reached = asyncio.Event()
        self._tell = told_on_loop(self._reached)
        self._cancelled = threading.Event()

    def before(self, act: Callable[[Path], None]) -> Callable[[Path], None]:
        """Return the function that holds, and then acts."""

        def hold(path: Path) -> None:
            if self._path in (None, path):
                self._tell()
                assert self._cancelled.wait(60)
            act(path)

        return hold

    async def cancel(self, going: asyncio.Task[int]) -> None:
        """Cancel a backup while its thread is held, and wait for its end."""
        await self._reached.wait()
        going.cancel()
        await asyncio.sleep(0)  # it is told
        self._cancelled.set()
        await asyncio.wait([going])


def contents(path: Path) -> list[str]:
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


async def test_it_has_all_that_the_store_has_and_opens_as_a_store(path: Path, target: Path) -> None:
    async with NdbClient.connect(uri(path)) as client:
        user = await Repository(client, User).save(User(username="billy"))
        await client.kv_set({"a": 1})
        size = await backup(uri(path), target)  # while it is open
        await client.kv_set({"later": 1})
    assert target.stat().st_size == size
    assert list(target.parent.iterdir()) == [target]
    async with NdbClient.connect(uri(target)) as client:
        assert await Repository(client, User).get(user.tkn) == user
        assert await client.kv_keys() == ["a"]
        await client.kv_set({"b": 1})
    assert list(target.parent.iterdir()) == [target]


async def test_sessions_that_have_expired_and_are_not_swept_are_in_it_as_they_are(path: Path, target: Path) -> None:
    async with SqliteStore(path, clock=lambda: 1000.0) as store:
        await store.create(1, ExpirySettings(60, delete_session=True), {"a": b"1"})
    await backup(uri(path), target)
    assert contents(target) == contents(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other ways")
async def test_it_is_its_owners_alone_whatever_the_umask(path: Path, target: Path, umask: int) -> None:
    await make(path)
    await backup(uri(path), target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    await backup(uri(path), target, overwrite=True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other ways")
async def test_what_stands_beside_a_store_is_its_owners_alone_whatever_the_umask(path: Path, umask: int) -> None:
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"a": b"1"})
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("sessions.db", "sessions.db-wal", "sessions.db-shm"), 0o600)


async def test_it_is_of_one_moment_though_others_write_all_the_time(path: Path, target: Path) -> None:
    """Each write moves one from a key to another; their sum is what it was only as of one moment."""
    names, padding = [f"key{number}" for number in range(300)], b" " * 5000
    async with SqliteStore(path) as store, SqliteStore(path) as reading:
        await store.set(SHARED, dict.fromkeys(names, b"100" + padding))
        going, number, backups = True, 0, 0

        async def write() -> None:
            nonlocal number
            while going:
                one, other = names[number % 300], names[(number * 7 + 1) % 300]
                number += 1
                found = await reading.get(SHARED, [one, other])
                if one != other:
                    moved = {
                        one: b"%d" % (int(found[one]) - 1) + b" " * 5000,
                        other: b"%d" % (int(found[other]) + 1) + b" " * 5000,
                    }
                    await store.set(SHARED, moved)

        writing = asyncio.create_task(write())
        while backups < 3 or number <= 10:
            await backup(uri(path), target, overwrite=True)
            backups += 1
            async with SqliteStore(target) as copy:
                assert sum(map(int, (await copy.get_all(SHARED)).values())) == 300 * 100
        going = False
        await writing


class TestAFileThatIsThere:
    @pytest.mark.parametrize("what", ["file", "link to nothing", "link to a file"])
    async def test_it_is_left_alone(self, path: Path, target: Path, what: str) -> None:
        await make(path)
        if what == "file":
            target.write_text("precious")
        else:
            target.symlink_to("other")
            if what == "link to a file":
                target.with_name("other").write_text("precious")
        before = sorted(target.parent.iterdir())
        with pytest.raises(InvalidArgumentError, match="there already"):
            await backup(uri(path), target)
        assert sorted(target.parent.iterdir()) == before
        assert what != "file" or target.read_text() == "precious"

    async def test_it_is_replaced_where_that_is_asked_for(self, path: Path, target: Path) -> None:
        await make(path)
        target.write_text("old")
        await backup(uri(path), target, overwrite=True)
        assert contents(target) == contents(path)

    async def test_one_that_comes_while_the_backup_is_made_is_left_alone(
        self, path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def write_meanwhile(whole: Path) -> None:  # the copy is whole then, and has no name yet
            synchronise(whole)
            target.write_text("precious")

        await make(path)
        monkeypatch.setattr("ndb_models.moving.backups.synchronise", write_meanwhile)
        with pytest.raises(InvalidArgumentError, match="there already"):
            await backup(uri(path), target)
        assert target.read_text() == "precious"
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.parametrize("overwrite", [False, True])
    async def test_the_store_itself_is_no_place_for_its_backup(self, path: Path, overwrite: bool) -> None:
        await make(path)
        link = path.with_name("link.db")
        link.symlink_to(path)
        for place in (path, link, path.parent / "." / path.name):
            with pytest.raises(InvalidArgumentError, match="the store itself"):
                await backup(uri(path), place, overwrite=overwrite)

    async def test_a_store_that_is_open_is_not_overwritten(self, path: Path, target: Path) -> None:
        await make(path)
        async with SqliteStore(target) as store:
            await store.set(SHARED, {"precious": b"1"})
            with pytest.raises(InvalidArgumentError, match="is open"):
                await backup(uri(path), target, overwrite=True)
            assert await store.names(SHARED) == ["precious"]


class TestWhatCannotBeDone:
    @pytest.mark.parametrize(
        "store", ["memory://", "ws://127.0.0.1:1/", "redis://", "sessions.db", "", "sqlite://x", "//["]
    )
    async def test_what_is_no_store_in_a_file(self, target: Path, store: str) -> None:
        with pytest.raises(InvalidArgumentError):
            await backup(store, target)
        assert list(target.parent.iterdir()) == []

    async def test_a_store_that_is_not_there_is_not_made(self, path: Path, target: Path) -> None:
        with pytest.raises(InvalidArgumentError, match="there is no file"):
            await backup(uri(path), target)
        assert list(path.parent.iterdir()) == list(target.parent.iterdir()) == []

    async def test_a_place_that_is_none(self, path: Path, tmp_path: Path) -> None:
        await make(path)
        for place in (tmp_path, tmp_path / "missing" / "backup.db"):
            with pytest.raises(InvalidArgumentError, match="directory"):
                await backup(uri(path), place)

    @pytest.mark.parametrize("what", ["text", "empty", "another program's", "newer"])
    async def test_a_file_that_is_no_store_of_this_version(self, path: Path, target: Path, what: str) -> None:
        if what == "text":
            path.write_text("Dear diary, " * 1000)
        elif what == "empty":
            path.touch()
        else:
            await make(path)
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute(f"PRAGMA {'application_id = 1' if what.startswith('a') else 'user_version = 99'}")
            connection.close()
        with pytest.raises(StoreVersionError if what == "newer" else StoreFormatError):
            await backup(uri(path), target)
        assert list(target.parent.iterdir()) == []

    async def test_a_store_that_is_damaged(self, path: Path, target: Path) -> None:
        await make(path, 500, 1000)
        with path.open("r+b") as file:
            file.seek(4096 * 20)
            file.write(b"\xff" * 4096 * 20)
        with pytest.raises(StoreFormatError, match="damaged"):
            await backup(uri(path), target)
        assert list(target.parent.iterdir()) == []

    @pytest.mark.parametrize("pages_told", [1, 2, 4])
    async def test_a_backup_that_is_cancelled_leaves_nothing(
        self, path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, pages_told: int
    ) -> None:
        copying = asyncio.Event()
        monkeypatch.setattr("ndb_models.moving.backups.copy_file", held_copy(pages_told, told_on_loop(copying)))
        await make(path, 1000, 4000)
        going = asyncio.create_task(backup(uri(path), target))
        await copying.wait()
        assert list(target.parent.iterdir())
        going.cancel()
        await asyncio.wait([going])
        assert going.cancelled()
        assert list(target.parent.iterdir()) == []

    async def test_a_backup_that_is_cancelled_before_it_gets_its_name_leaves_nothing(
        self, path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hold = Hold()
        monkeypatch.setattr("ndb_models.moving.backups.synchronise", hold.before(synchronise))
        await make(path)
        going = asyncio.create_task(backup(uri(path), target))
        await hold.cancel(going)
        assert going.cancelled()
        assert list(target.parent.iterdir()) == []

    async def test_a_cancellation_has_no_effect_once_the_backup_has_its_name(
        self, path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hold = Hold(target.parent)
        monkeypatch.setattr("ndb_models.moving.backups.synchronise", hold.before(synchronise))
        await make(path)
        going = asyncio.create_task(backup(uri(path), target))
        await hold.cancel(going)
        assert going.result() == target.stat().st_size
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.slow
    async def test_what_a_killed_process_left_goes_with_the_next_backup(self, path: Path, target: Path) -> None:
        await make(path, 500, 4000)
        async with held_backup("--store", uri(path), "--to", str(target)) as process:
            process.kill()
        (left,) = target.parent.iterdir()
        assert left.is_dir()
        await backup(uri(path), target)
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.slow
    async def test_a_disk_that_is_full(self, path: Path, target: Path, tmp_path: Path) -> None:
        await make(path)
        library = build(tmp_path)
        if library is None:
            pytest.skip("there is no compiler for a disk that fills up")
        (tmp_path / "full").touch()
        # Open by a connection that no fork closes: the first connection would have to write beside the store.
        with contextlib.closing(sqlite3.connect(path)) as store:
            store.execute("SELECT count(*) FROM session").fetchone()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ndb_models", "backup", "--store", uri(path), "--to", str(target)),
                env={**os.environ, "LD_PRELOAD": library, "DISK_FULL": str(tmp_path / "full")},
                stderr=asyncio.subprocess.PIPE,
            )
            _, errors = await process.communicate()
        assert process.returncode == 1
        assert errors.decode().count("\n") == 1
        assert "backup.db: the backup cannot be written: No space left on device" in errors.decode()
        assert list(target.parent.iterdir()) == []


async def test_progress_goes_from_nothing_to_all(path: Path, target: Path) -> None:
    await make(path, 1000, 4000)
    told: list[tuple[int, int]] = []
    await backup(uri(path), target, report=lambda done, total: told.append((done, total)))
    await asyncio.sleep(0)
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == told[0][1]


async def test_errors_are_of_this_package(path: Path, target: Path) -> None:
    await make(path)
    target.parent.rmdir()
    with pytest.raises(NdbError):
        await backup(uri(path), target)
    assert issubclass(StoreError, NdbError)
