"""Reading extends a session without writing: the read waits for nothing, and the extension is stored behind it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel

from ndb_models import Expiry, NdbClient, Repository, ResponseError, SessionModel
from ndb_models.engine import Engine
from ndb_models.errors import InvalidArgumentError, StoreLockedError
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.contract import ExpirySettings, SessionRecord, UnknownSessionError
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
from ndb_models.stores.sqlite.extensions import Extension, Extensions
from tests.conftest import VirtualClock
from tests.disk import build
from tests.stores.conftest import TOKEN

pytestmark = pytest.mark.slow

IDLE = ExpirySettings(60, delete_session=True, extend_on_get=True)
BOTH = ExpirySettings(60, delete_session=True, extend_on_set_add=True, extend_on_get=True)
STAYING = ExpirySettings(60, delete_session=False, extend_on_get=True)
IMPATIENT = SqliteOptions(busy_timeout=0.05)
LATE = SqliteOptions(extension_delay=60)
"""Nothing is stored by itself while the test runs, as long as the clock is not near a deadline."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
async def store(path: Path, clock: VirtualClock) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(path, LATE, clock=clock) as store:
        yield store


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be another process that is in the middle of writing."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def stored(path: Path, token: int = TOKEN) -> tuple[float, float] | None:
    """Return what the file has as a session's deadline, and when it is due."""
    connection = sqlite3.connect(path)
    try:
        signed = token - 2**64 if token >= 2**63 else token
        found: tuple[float, float] | None = connection.execute(
            "SELECT deadline, due FROM session WHERE tkn = ?", (signed,)
        ).fetchone()
        return found
    finally:
        connection.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - a thread does it
            await asyncio.sleep(0.005)


class TestWhatIsReadIsReturned:
    async def test_while_another_process_writes_for_longer_than_the_patience(
        self, path: Path, clock: VirtualClock
    ) -> None:
        async with SqliteStore(path, IMPATIENT, clock=clock) as store:
            await store.create(TOKEN, IDLE, {"a": b"1"})
            with locked(path):
                for _ in range(20):
                    clock.move(1)
                    assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
                with pytest.raises(StoreLockedError):
                    await store.set(TOKEN, {"a": b"2"})
                assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
                assert (await store.info(TOKEN)).remaining == 60
            clock.move(20)
            await store.set(TOKEN, {"a": b"3"})
            assert (await store.info(TOKEN)).remaining == 40

    async def test_without_waiting_for_a_process_that_writes(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            await store.create(TOKEN, IDLE, {"a": b"1"})
            with locked(path):
                writing = asyncio.create_task(store.set(TOKEN, {"b": b"1"}))
                for _ in range(50):
                    assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
                assert not writing.done()
            await writing

    @pytest.mark.parametrize("failing", ["DISK_FULL", "DISK_BROKEN"])
    async def test_while_the_disk_is_full_or_broken(self, tmp_path: Path, failing: str) -> None:
        output, log = await on_a_disk(tmp_path, "full", failing)
        assert output == ["300 of 300 reads", "a write fails", "extended after that"]
        assert len([line for line in log if "extensions of sessions cannot be stored" in line]) == 1

    async def test_faster_than_a_slow_disk_writes(self, tmp_path: Path) -> None:
        output, _ = await on_a_disk(tmp_path, "slow", "DISK_NONE", {"DISK_SYNC_MICROSECONDS": "20000"})
        assert float(output[0]) < 0.005

    @pytest.mark.parametrize("way", ["in this process", "over a port"])
    async def test_by_a_repository_too(self, path: Path, way: str) -> None:
        async with serving(path, way) as client:
            repo = Repository(client, User)
            user = await repo.save(User(username="billy"))
            tkn = user.tkn
            with locked(path):
                for _ in range(3):
                    assert await repo.get(tkn) == user
                    assert await repo.exists(tkn)
                    assert await repo.project(tkn, Name) == Name(username="billy")
                with pytest.raises((StoreLockedError, ResponseError)):
                    await repo.update(tkn, username="bob")
                assert await repo.get(tkn) == user
            await repo.update(tkn, username="bob")


class User(SessionModel, schema="extensions-user", expiry=Expiry(idle=timedelta(minutes=1), on="both")):
    username: str


class Name(BaseModel):
    username: str


@asynccontextmanager
async def serving(path: Path, way: str) -> AsyncIterator[NdbClient]:
    """Return a client of the file, in this process or through a server."""
    if way == "in this process":
        async with NdbClient.connect(f"sqlite:///{path}?busy_timeout=0.05") as client:
            yield client
        return
    async with (
        SqliteStore(path, IMPATIENT) as store,
        NdbServer(Engine(store), ServerOptions(port=0)) as server,
        NdbClient.connect(server.uri) as client,
    ):
        yield client


async def on_a_disk(
    directory: Path, what: str, failing: str, more: dict[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """Run `reading_on_disks` on a disk with a mind of its own; return the lines of its output and of its log."""
    library = build(directory)
    if library is None:
        pytest.skip("there is no compiler for a disk like that")
    environment = {**os.environ, "LD_PRELOAD": library, failing: str(directory / "failing"), **(more or {})}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stores.reading_on_disks", str(directory / "sessions.db"), what),
        str(directory / "failing"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, log = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, log.decode()
    return output.decode().splitlines(), log.decode().splitlines()


class TestUntilItIsStored:
    """In this process, an extension counts from the moment of the read."""

    async def test_it_counts_for_every_verb(self, store: SqliteStore, path: Path, clock: VirtualClock) -> None:
        await store.create(TOKEN, IDLE, {"a": b"1"})
        clock.move(10)
        await store.get(TOKEN, ["a"])
        assert stored(path) == (1060, 1060)
        assert (await store.info(TOKEN)).remaining == 60
        clock.move(59)
        assert await store.exist([TOKEN]) == [TOKEN]
        assert await store.totals() == (1, 1)
        assert await store.tokens(None, 5) == [TOKEN]
        assert await store.export() == [SessionRecord(TOKEN, IDLE, {"a": b"1"})]
        assert await store.contains(TOKEN, ["a"]) == ["a"]
        assert not await store.create(TOKEN, IDLE)
        clock.move(1)
        assert await store.exist([TOKEN]) == []
        assert await store.totals() == (0, 0)

    async def test_a_sweep_leaves_the_session_alone(self, store: SqliteStore, clock: VirtualClock) -> None:
        await store.create(TOKEN, IDLE, {"a": b"1"})
        clock.move(59)
        await store.get(TOKEN, ["a"])
        clock.move(59)
        await store.sweep()
        assert await store.info(TOKEN) == (await store.info(TOKEN))
        assert (await store.info(TOKEN)).remaining == 1
        clock.move(1)
        await store.sweep()
        assert await store.exist([TOKEN]) == []

    @pytest.mark.parametrize("verb", ["remove", "change", "replace", "set", "add", "end", "end_all"])
    async def test_a_verb_that_writes_honours_it(self, store: SqliteStore, clock: VirtualClock, verb: str) -> None:
        await store.create(TOKEN, IDLE, {"a": b"1"})
        clock.move(59)
        await store.get(TOKEN, ["a"])
        clock.move(30)
        match verb:
            case "end":
                assert await store.end(TOKEN)
            case "end_all":
                assert await store.end_all() == 1
            case "remove":
                await store.remove(TOKEN, ["a"])
            case "change":
                assert await store.change(TOKEN, {"a": b"2"}, expected={"a": b"1"})
            case "replace":
                assert await store.replace(TOKEN, {"a": b"2"}) == 1
            case "set":
                await store.set(TOKEN, {"a": b"2"})
            case _:
                await store.add(TOKEN, {"b": b"2"})
        if not verb.startswith("end"):
            assert (await store.info(TOKEN)).remaining == 30

    async def test_a_session_that_its_expiry_emptied_starts_anew(
        self, store: SqliteStore, path: Path, clock: VirtualClock
    ) -> None:
        await store.create(TOKEN, STAYING, {"a": b"1"})
        clock.move(90)
        assert await store.get(TOKEN, ["a"]) == {}
        assert (await store.info(TOKEN)).remaining == 60
        clock.move(10)
        await store.set(TOKEN, {"b": b"2"})
        assert await store.get_all(TOKEN) == {"b": b"2"}
        assert stored(path) == (1150, 1060)


class TestStoringIt:
    async def test_it_goes_along_with_the_next_write(self, store: SqliteStore, path: Path, clock: VirtualClock) -> None:
        await store.create(TOKEN, IDLE)
        clock.move(10)
        await store.get(TOKEN, ["a"])
        await store.set(None, {"other": b"1"})
        assert stored(path) == (1070, 1060)

    async def test_it_is_stored_by_itself_within_the_delay(self, path: Path, clock: VirtualClock) -> None:
        async with SqliteStore(path, SqliteOptions(extension_delay=0.02), clock=clock) as store:
            await store.create(TOKEN, IDLE)
            clock.move(10)
            await store.get(TOKEN, ["a"])
            await until(lambda: stored(path) == (1070, 1060))

    async def test_it_is_stored_sooner_if_little_time_is_left(self, path: Path) -> None:
        async with SqliteStore(path, LATE) as store:
            await store.create(5, ExpirySettings(4, delete_session=True, extend_on_get=True))
            before = stored(path, 5)
            await store.get(5, ["a"])
            await until(lambda: stored(path, 5) != before)
            assert await store.exist([5]) == [5]

    def test_a_session_that_is_read_all_the_time_is_stored_before_its_stored_end(self, clock: VirtualClock) -> None:
        extensions = Extensions("sessions.db", 60, clock=clock)
        stored_end, writes = clock() + 1, 0
        for _ in range(400):
            assert clock() < stored_end
            extensions.note(5, Extension(clock(), 1), stored_end - clock())
            clock.move(0.05)
            wait = extensions.seconds_until_look()
            assert wait is not None
            if wait == 0:
                assert extensions.is_due
                assert list(extensions.take(10)) == [5]
                extension = extensions.of(5)
                assert extension is not None
                stored_end = extension.read_at + extension.lasts
                extensions.stored()
                writes += 1
        assert 20 < writes < 200

    async def test_closing_stores_it(self, path: Path, clock: VirtualClock) -> None:
        async with SqliteStore(path, LATE, clock=clock) as store:
            for token in range(1000):
                await store.create(token, IDLE)
            clock.move(10)
            await asyncio.gather(*(store.get(token, []) for token in range(1000)))
        assert {stored(path, token) for token in range(1000)} == {(1070, 1060)}

    async def test_leaving_stores_it(self, path: Path, clock: VirtualClock) -> None:
        store = SqliteStore(path, LATE, clock=clock)
        await store.open()
        await store.create(TOKEN, IDLE)
        clock.move(10)
        await store.get(TOKEN, [])
        store.leave()
        await until(lambda: stored(path) == (1070, 1060))
        await store.aclose()

    async def test_many_reads_of_a_session_are_one_write(self, store: SqliteStore, path: Path) -> None:
        await store.create(TOKEN, IDLE)
        log = path.with_name(path.name + "-wal")
        before = log.stat().st_size
        await asyncio.gather(*(store.get(TOKEN, []) for _ in range(500)))
        assert log.stat().st_size == before
        await store.set(None, {"a": b"1"})
        assert log.stat().st_size - before < 10 * 4096

    async def test_a_write_that_extends_by_itself_needs_no_other(
        self, store: SqliteStore, path: Path, clock: VirtualClock
    ) -> None:
        await store.create(TOKEN, BOTH)
        clock.move(10)
        await store.get(TOKEN, [])
        clock.move(10)
        await store.set(TOKEN, {"a": b"1"})
        assert stored(path) == (1080, 1060)

    @pytest.mark.parametrize("delay", ["-1", "61", "nan", "soon"])
    def test_a_delay_that_is_none_is_refused(self, delay: str) -> None:
        with pytest.raises(InvalidArgumentError, match="extension_delay is a number of seconds"):
            asyncio.run(NdbClient.connect(f"sqlite:///x.db?extension_delay={delay}").__aenter__())


class TestWhatItMustNotDo:
    @pytest.mark.parametrize("expiry", [IDLE, ExpirySettings(20, delete_session=True), ExpirySettings()])
    async def test_it_does_not_resurrect_or_change_a_later_session_of_the_token(
        self, store: SqliteStore, path: Path, clock: VirtualClock, expiry: ExpirySettings
    ) -> None:
        async with SqliteStore(path, clock=clock) as other:
            await store.create(TOKEN, ExpirySettings(3600, delete_session=True, extend_on_get=True), {"a": b"1"})
            clock.move(10)
            await store.get(TOKEN, ["a"])
            await other.end(TOKEN)
            assert await store.exist([TOKEN]) == []
            with pytest.raises(UnknownSessionError):
                await store.get(TOKEN, ["a"])
            await store.set(None, {"flush": b"1"})
            assert stored(path) is None
            await store.create(TOKEN, IDLE, {"a": b"1"})
            await store.get(TOKEN, ["a"])
            await other.end(TOKEN)
            clock.move(1)
            await other.create(TOKEN, expiry)
            before = stored(path)
            await store.set(None, {"flush": b"2"})
            assert stored(path) == before

    async def test_it_does_not_undo_what_another_process_extended_further(
        self, store: SqliteStore, path: Path, clock: VirtualClock
    ) -> None:
        async with SqliteStore(path, LATE, clock=clock) as other:
            await store.create(TOKEN, IDLE)
            clock.move(10)
            await store.get(TOKEN, [])
            clock.move(10)
            await other.get(TOKEN, [])
            await other.set(None, {"flush": b"1"})
            assert stored(path) == (1080, 1060)
            await store.set(None, {"flush": b"2"})
            assert stored(path) == (1080, 1060)

    async def test_the_earlier_of_two_processes_does_not_take_the_later_ones_extension(
        self, store: SqliteStore, path: Path, clock: VirtualClock
    ) -> None:
        async with SqliteStore(path, LATE, clock=clock) as other:
            await store.create(TOKEN, IDLE)
            clock.move(10)
            await store.get(TOKEN, [])
            clock.move(10)
            await other.get(TOKEN, [])
            await store.set(None, {"flush": b"1"})
            await other.set(None, {"flush": b"2"})
            assert stored(path) == (1080, 1060)

    async def test_a_session_that_another_process_saw_expire_stays_dead(
        self, path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with SqliteStore(path, IMPATIENT, clock=clock) as store, SqliteStore(path, clock=clock) as other:
            await store.create(TOKEN, IDLE, {"a": b"1"})
            with locked(path):
                clock.move(59)
                assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
                with pytest.raises(StoreLockedError):
                    await store.set(None, {"a": b"1"})
                clock.move(1)
                assert await other.exist([TOKEN]) == []
                assert await store.exist([TOKEN]) == []
                with pytest.raises(UnknownSessionError):
                    await store.get(TOKEN, ["a"])
            await store.set(None, {"a": b"1"})
            assert await other.exist([TOKEN]) == await store.exist([TOKEN]) == []
            # Later extensions are stored again.
            await store.create(TOKEN, IDLE, {"a": b"1"})
            clock.move(30)
            await store.get(TOKEN, ["a"])
            await until(lambda: stored(path) == (1150, 1120))

    @pytest.mark.slow
    async def test_it_is_said_in_the_log_that_it_cannot_be_stored(
        self, path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "ndb_models"):
            async with SqliteStore(path, SqliteOptions(busy_timeout=0, extension_delay=0), clock=clock) as store:
                await store.create(TOKEN, IDLE, {"a": b"1"})
                clock.move(1)
                with locked(path):
                    await store.get(TOKEN, ["a"])
                    await until(lambda: "cannot be stored" in caplog.text)
                    assert str(TOKEN) not in caplog.text
                await until(lambda: "stored again" in caplog.text)

    async def test_a_work_that_fails_does_not_pass_for_an_extension_that_fails(
        self, store: SqliteStore, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        await store.create(TOKEN, IDLE, {"a": b"1"})
        clock.move(59)
        await store.get(TOKEN, ["a"])
        with pytest.raises(InvalidArgumentError):
            await store.set(None, {"\ud800": b"1"})
        clock.move(59)
        assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
        assert not caplog.records


async def test_a_session_that_one_process_reads_is_alive_for_another_that_sweeps(tmp_path: Path) -> None:
    """Two real processes and a real clock: one reads, the other sweeps all the time."""
    path = tmp_path / "sessions.db"
    async with SqliteStore(path) as store:
        await store.create(TOKEN, ExpirySettings(2, delete_session=True, extend_on_get=True), {"a": b"1"})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.stores.reading_on_disks", str(path), "sweep", "4"),
            stderr=asyncio.subprocess.PIPE,
        )
        while process.returncode is None:
            assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
            await asyncio.sleep(0.2)
        assert process.returncode == 0
        assert await store.exist([TOKEN]) == [TOKEN]


async def test_death_takes_no_more_than_the_extensions_of_the_delay(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    async with SqliteStore(path) as store:
        await store.create(TOKEN, ExpirySettings(1000, delete_session=True, extend_on_get=True), {"a": b"1"})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stores.reading_on_disks", str(path), "read", "0.3"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(15)]
    process.send_signal(signal.SIGKILL)
    output, _ = await process.communicate()
    last_read = float((lines[-1] + output).split()[-1])
    found = stored(path)
    assert found is not None
    assert found[0] > last_read + 1000 - 0.3 - 0.7
    async with SqliteStore(path) as store:
        assert await store.get(TOKEN, ["a"]) == {"a": b"1"}


async def test_an_expiry_that_is_not_to_lengthen_a_life_is_not_outdone_by_extensions_from_before(
    tmp_path: Path, clock: VirtualClock
) -> None:
    settings = ExpirySettings(1000, delete_session=True, extend_on_get=True)
    options = SqliteOptions(extension_delay=60)
    async with (
        SqliteStore(tmp_path / "a.db", options, clock=clock) as reading,
        SqliteStore(tmp_path / "a.db", options, clock=clock) as changing,
    ):
        await reading.create(7, settings, {"a": b"1"})
        clock.move(500)
        await reading.get(7, ("a",))
        await changing.expire(7, settings._replace(duration=100_000), restart=False)
        for store in (reading, changing):
            remaining = (await store.info(7)).remaining
            assert remaining is not None
            assert remaining <= 1000
