"""A file that was removed, moved or replaced while it is open: nothing more is acknowledged, and it is said why."""

from __future__ import annotations

import asyncio
import http.client
import logging
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.engine import Engine
from ndb_models.errors import StoreError
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.contract import NEVER, SHARED, ExpirySettings
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
from tests.stores.conftest import TOKEN

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there, what is open can be neither removed nor moved")

IDLE = ExpirySettings(60, delete_session=True, extend_on_get=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    return directory / "sessions.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"a": b"1"})
        await store.create(TOKEN, IDLE, {"a": b"1"})
        yield store


def remove(path: Path) -> None:
    path.unlink()


def remove_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def remove_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def remove_shared_memory(path: Path) -> None:
    path.with_name(f"{path.name}-shm").unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def replace(path: Path) -> None:
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.replace(path)


def replace_by_nothing(path: Path) -> None:
    empty = path.with_name("empty.db")
    empty.touch()
    empty.replace(path)


def delete_directory(path: Path) -> None:
    shutil.rmtree(path.parent)


def move_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


LOSSES = [
    remove,
    remove_all,
    remove_log,
    remove_shared_memory,
    move,
    replace,
    replace_by_nothing,
    delete_directory,
    move_directory,
]


async def fails(call: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as failed:
        await call()  # type: ignore[misc]  # a verb, which is awaited
    return failed.value


async def fails_soon(call: Callable[[], object]) -> StoreError:
    """Call a verb until it fails, for half a minute at the most."""
    async with asyncio.timeout(30):
        while True:
            try:
                await call()  # type: ignore[misc]  # a verb, which is awaited
            except StoreError as exc:
                return exc
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("lose", LOSSES)
class TestLosingTheFile:
    async def test_no_write_is_acknowledged(self, store: SqliteStore, path: Path, lose: Callable[[Path], None]) -> None:
        lose(path)
        if lose in (remove_log, remove_shared_memory):
            await fails_soon(lambda: store.set(SHARED, {"b": b"1"}))
        for call in (
            lambda: store.set(SHARED, {"b": b"1"}),
            lambda: store.create(1, NEVER),
            lambda: store.end(TOKEN),
            store.sweep,
        ):
            failure = await fails(call)
            assert "removed or moved" in failure.reason or "replaced" in failure.reason
            assert "open it again" in failure.reason

    async def test_reads_fail_too(self, store: SqliteStore, path: Path, lose: Callable[[Path], None]) -> None:
        lose(path)
        await fails_soon(lambda: store.get(SHARED, ["a"]))
        await fails(lambda: store.get(TOKEN, ["a"]))
        await fails(lambda: store.exist([TOKEN]))
        await fails_soon(store.totals)

    async def test_of_many_writes_at_once_none_is_acknowledged(
        self, store: SqliteStore, path: Path, lose: Callable[[Path], None]
    ) -> None:
        lose(path)
        if lose in (remove_log, remove_shared_memory):
            await fails_soon(lambda: store.set(SHARED, {"b": b"1"}))
        outcomes = await asyncio.gather(*(store.create(n, NEVER) for n in range(50)), return_exceptions=True)
        assert all(isinstance(outcome, StoreError) for outcome in outcomes)

    async def test_the_server_is_not_ready(self, path: Path, lose: Callable[[Path], None]) -> None:
        store = SqliteStore(path)
        await store.open()
        async with NdbServer(Engine(store), ServerOptions(port=0)) as server:
            assert await asked(server.port) == (200, "ready\n")
            lose(path)
            status, reason = await asked(server.port)
            assert status == 503
            assert "while it was open" in reason
            assert str(path.parent) not in reason

    async def test_it_is_logged_once(
        self, store: SqliteStore, path: Path, lose: Callable[[Path], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        lose(path)
        with caplog.at_level(logging.WARNING, "ndb_models"):
            await fails_soon(lambda: store.set(SHARED, {"b": b"1"}))
            for _ in range(10):
                await fails(lambda: store.set(SHARED, {"b": b"1"}))
                await fails(lambda: store.get(SHARED, ["a"]))
        assert len([record for record in caplog.records if "while it was open" in record.getMessage()]) == 1

    async def test_it_can_be_opened_anew_and_then_closed(self, path: Path, lose: Callable[[Path], None]) -> None:
        async with NdbClient.connect(f"sqlite:///{path}") as client:
            await client.kv_set({"a": 1})
            lose(path)
            await fails_soon(lambda: client.kv_set({"a": 2}))
            path.parent.mkdir(exist_ok=True)
            if lose in (remove_log, remove_shared_memory):
                return  # those who have it open must close it first
            async with NdbClient.connect(f"sqlite:///{path}") as other:
                await other.kv_set({"b": 1})
                await fails(lambda: client.kv_set({"a": 2}))
            async with NdbClient.connect(f"sqlite:///{path}") as other:
                assert await other.kv_get(("b",)) == {"b": 1}
        async with NdbClient.connect(f"sqlite:///{path}") as other:
            assert await other.kv_get(("b",)) == {"b": 1}


async def asked(port: int) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        found = response.status, response.read().decode()
        connection.close()
        return found

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("what", ["file", "directory"])
async def test_a_file_that_came_back_is_used_again(
    store: SqliteStore, path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    home, away = (path, path.with_name("away")) if what == "file" else (path.parent, path.parent.with_name("away"))
    for _ in range(2):
        home.rename(away)
        await fails(lambda: store.set(SHARED, {"b": b"1"}))
        await fails(lambda: store.get(TOKEN, ["a"]))
        away.rename(home)
        assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
        await store.set(SHARED, {"c": b"1"})
    async with SqliteStore(path) as other:
        assert sorted(await other.names(SHARED)) == ["a", "c"]
    assert sum("is used again" in record.getMessage() for record in caplog.records) == 2


async def test_a_store_that_was_idle_notices_it_at_the_next_write(path: Path) -> None:
    async with SqliteStore(path) as store, SqliteStore(path) as other:
        await store.set(SHARED, {"a": b"1"})
        path.unlink()
        for each in (store, other):
            await fails(lambda each=each: each.set(SHARED, {"b": b"1"}))  # type: ignore[misc]


async def test_extensions_are_not_stored_in_a_file_that_is_lost(store: SqliteStore, path: Path) -> None:
    async with SqliteStore(path, SqliteOptions(extension_delay=0)) as other:
        await other.get(TOKEN, ["a"])
        path.unlink()
        await fails_soon(lambda: other.get(TOKEN, ["a"]))


@pytest.mark.slow
async def test_other_processes_notice_it_too(path: Path) -> None:
    """A server in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ndb_models", "serve", "--port", "0", "--store", f"sqlite:///{path}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = (await process.stdout.readline()).decode()
    port = int(said.rpartition(":")[2].strip().strip("/"))
    path.unlink()
    status, _ = await asked(port)
    process.terminate()
    log = await process.stderr.read()
    await process.wait()
    assert status == 503
    assert log.count(b"while it was open") == 1
