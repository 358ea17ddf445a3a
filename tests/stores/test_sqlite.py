"""What is the SQLite store's own: it outlives its process, many write at once, and expired sessions leave room."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from ndb_models.errors import InvalidArgumentError, StoreError
from ndb_models.stores.contract import NEVER, SHARED, ExpirySettings, SessionInfo, UnknownSessionError
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
from tests.conftest import VirtualClock
from tests.stores.conftest import TOKEN

ENDING = ExpirySettings(60, delete_session=True, extend_on_get=True)
STAYING = ExpirySettings(60, delete_session=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def look(path: Path, query: str) -> list[tuple[object, ...]]:
    """Ask the file itself."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ndb_models")]


async def ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


class TestLastingLongerThanAProcess:
    async def test_what_was_written_is_there_when_the_file_is_opened_again(
        self, path: Path, clock: VirtualClock
    ) -> None:
        async with SqliteStore(path, clock=clock) as store:
            await store.set(SHARED, {"a": b"1"})
            await store.create(TOKEN, ENDING, {"b": b"2"})
        clock.move(20)
        async with SqliteStore(path, clock=clock) as store:
            assert await store.get_all(SHARED) == {"a": b"1"}
            assert await store.get_all(TOKEN) == {"b": b"2"}
            assert await store.info(TOKEN) == SessionInfo(1, ENDING, 40)

    async def test_sessions_expire_while_nobody_has_the_file_open(self, path: Path, clock: VirtualClock) -> None:
        async with SqliteStore(path, clock=clock) as store:
            await store.create(1, ENDING, {"a": b"1"})
            await store.create(2, STAYING, {"a": b"1"})
        clock.move(90)
        async with SqliteStore(path, clock=clock) as store:
            assert await store.exist([1, 2]) == [2]
            assert await store.info(2) == SessionInfo(0, STAYING, 30)

    async def test_a_timer_that_a_get_has_started_anew_goes_on(self, path: Path, clock: VirtualClock) -> None:
        async with SqliteStore(path, clock=clock) as store:
            await store.create(TOKEN, ENDING, {"a": b"1"})
            clock.move(50)
            assert await store.get(TOKEN, ["a"]) == {"a": b"1"}
        async with SqliteStore(path, clock=clock) as store:
            assert await store.info(TOKEN) == SessionInfo(1, ENDING, 60)

    async def test_time_is_the_worlds_where_no_clock_is_given(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            await store.create(TOKEN, ExpirySettings(3600, delete_session=True))
        ((deadline,),) = look(path, "SELECT deadline - unixepoch() FROM session")
        assert isinstance(deadline, float)
        assert 3590 < deadline <= 3601

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has other ways")
    async def test_the_file_is_its_owners_alone(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            await store.set(SHARED, {"a": b"1"})
            assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}

    async def test_the_tables_can_be_read_with_any_other_tool(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            await store.create(2**64 - 1, NEVER, {"é": b'"1"'})
        assert look(path, "SELECT tkn, key, CAST(value AS TEXT) FROM session_key") == [(-1, "é", '"1"')]


class TestManyAtOnce:
    async def test_what_is_asked_for_at_once_is_committed_at_once(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            log = path.with_name(path.name + "-wal")
            before = log.stat().st_size
            await asyncio.gather(*(store.set(SHARED, {"a": b"%d" % number}) for number in range(100)))
            assert log.stat().st_size - before < 10 * 4096

    async def test_what_fails_takes_nothing_else_along(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            outcomes = await asyncio.gather(
                store.set(SHARED, {"a": b"1"}),
                store.set(SHARED, {"b": b"1", "\ud800": b"2"}),
                store.create(2**64, NEVER),
                store.set(TOKEN, {"a": b"1"}),
                store.set(SHARED, {"c": b"1"}),
                return_exceptions=True,
            )
            assert [type(outcome) for outcome in outcomes] == [
                type(None),
                InvalidArgumentError,
                InvalidArgumentError,
                UnknownSessionError,
                type(None),
            ]
            assert await store.get_all(SHARED) == {"a": b"1", "c": b"1"}

    async def test_one_that_is_cancelled_is_done_whole_or_not_and_the_others_are(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            for turns in range(6):
                keys = {f"{turns}.{number}": b"1" for number in range(50)}
                doomed = asyncio.create_task(store.set(SHARED, keys))
                other = asyncio.create_task(store.set(SHARED, {f"{turns}": b"1"}))
                for _ in range(turns):
                    await asyncio.sleep(0)
                doomed.cancel()
                await other
                there = await store.contains(SHARED, keys)
                assert len(there) in (0, 50)
                assert await store.contains(SHARED, [f"{turns}"])

    async def test_one_that_is_cancelled_at_once_is_not_done(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            doomed = asyncio.create_task(store.set(SHARED, {"a": b"1"}))
            await asyncio.sleep(0)
            doomed.cancel()
            await asyncio.wait([doomed])
            assert await store.count(SHARED) == 0

    async def test_the_tasks_of_several_event_loops_may_use_it(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            await store.set(SHARED, {"counter": b"0"})

            async def count() -> None:
                for _ in range(50):
                    while True:
                        old = (await store.get(SHARED, ["counter"]))["counter"]
                        if await store.change(SHARED, {"counter": b"%d" % (int(old) + 1)}, expected={"counter": old}):
                            break

            threads = [threading.Thread(target=asyncio.run, args=[count()]) for _ in range(3)]
            for thread in threads:
                thread.start()
            await count()
            await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
            assert await store.get(SHARED, ["counter"]) == {"counter": b"200"}

    async def test_two_stores_on_one_file_see_at_once_what_the_other_did(self, path: Path, clock: VirtualClock) -> None:
        async with SqliteStore(path, clock=clock) as one, SqliteStore(path, clock=clock) as other:
            assert await one.create(TOKEN, ENDING, {"a": b"1"})
            assert await other.get(TOKEN, ["a"]) == {"a": b"1"}
            await other.set(TOKEN, {"a": b"2"})
            assert await one.get_all(TOKEN) == {"a": b"2"}
            clock.move(60)
            assert await one.exist([TOKEN]) == await other.exist([TOKEN]) == []
            assert await other.create(TOKEN, NEVER)
            assert await one.get_all(TOKEN) == {}


class TestOpeningAndClosing:
    async def test_closing_carries_out_what_was_asked_for(self, path: Path) -> None:
        store = SqliteStore(path)
        await store.open()
        tasks = [asyncio.create_task(store.set(SHARED, {f"{number}": b"1"})) for number in range(20)]
        await asyncio.sleep(0)
        await store.aclose()
        await asyncio.gather(*tasks)
        async with SqliteStore(path) as store:
            assert await store.count(SHARED) == 20

    async def test_a_store_that_is_closed_or_was_never_opened_says_so(self, path: Path) -> None:
        store = SqliteStore(path)
        for _ in range(2):
            for call in (store.totals(), store.set(SHARED, {"a": b"1"})):
                with pytest.raises(StoreError, match="not open"):
                    await call
            await store.open()
            await store.aclose()
            await store.aclose()

    async def test_opening_twice_is_opening_once(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            await store.open()
            await asyncio.gather(store.open(), store.open())
            assert await store.totals() == (0, 0)

    async def test_a_closed_file_is_whole_without_those_beside_it(self, path: Path) -> None:
        async with SqliteStore(path) as store:
            await store.set(SHARED, {"a": b"1"})
        assert list(path.parent.iterdir()) == [path]

    async def test_an_opening_that_is_cancelled_leaves_nothing_open(self, path: Path) -> None:
        store = SqliteStore(path)
        opening = asyncio.create_task(store.__aenter__())
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        threads = own_threads()
        await store.aclose()
        await ended(threads)

    async def test_a_store_that_nobody_closed_warns_and_is_closed(self, path: Path) -> None:
        store = SqliteStore(path)
        await store.open()
        threads = own_threads()
        with pytest.warns(ResourceWarning, match="unclosed SqliteStore"):  # noqa: PT031 - the two are one
            del store
            gc.collect()
        await ended(threads)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    async def test_a_forked_process_is_told_to_open_it_itself(self, path: Path) -> None:
        program = f"""
import asyncio, os
from ndb_models.errors import StoreError
from ndb_models.stores.sqlite import SqliteStore

async def main():
    async with SqliteStore({str(path)!r}) as store:
        if (child := os.fork()) == 0:
            try:
                await store.totals()
            except StoreError as exc:
                print(exc)
            finally:
                os._exit(0)
        os.waitpid(child, 0)

asyncio.run(main())
"""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-u", "-c", program, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        assert b"forked" in output


class TestSweeping:
    @pytest.mark.parametrize("settings", [ENDING, STAYING])
    async def test_a_sweep_frees_all_that_has_expired(
        self, path: Path, clock: VirtualClock, settings: ExpirySettings
    ) -> None:
        async with SqliteStore(path, clock=clock) as store:
            await fill(store, range(500), settings)
            clock.move(60)
            await store.sweep()
            assert look(path, "SELECT count(*) FROM session_key") == [(0,)]
            assert look(path, "SELECT count(*) FROM session WHERE due <= 1060") == [(0,)]

    async def test_sessions_that_are_found_expired_are_counted(self, path: Path, clock: VirtualClock) -> None:
        async with SqliteStore(path, clock=clock) as store:
            assert store.expired == 0
            await store.create(1, ExpirySettings(10, delete_session=True))
            await store.create(2, ExpirySettings(10), {"a": b"1"})
            await store.create(3, ExpirySettings(90, delete_session=True))
            clock.move(11)
            await store.sweep()
            assert (store.expired, (await store.statistics()).expired) == (2, 2)
            await store.sweep()
            assert store.expired == 2
            clock.move(90)
            assert await store.end(3) is False
            assert store.expired == 3

    async def test_creations_free_what_has_expired_without_anyone_asking(self, path: Path, clock: VirtualClock) -> None:
        async with SqliteStore(path, clock=clock) as store:
            await fill(store, range(100), ENDING)
            clock.move(60)
            await fill(store, range(1000, 1100), ENDING)
            assert look(path, "SELECT count(*) FROM session WHERE deadline <= 1060") == [(0,)]

    async def test_timers_that_were_started_anew_are_swept_in_their_new_time(
        self, path: Path, clock: VirtualClock
    ) -> None:
        async with SqliteStore(path, clock=clock) as store:
            await fill(store, range(10), ENDING)
            clock.move(30)
            for token in range(10):
                await store.get(token, ["a"])
            clock.move(30)
            await store.sweep()
            assert look(path, "SELECT count(*) FROM session_key") == [(10,)]
            clock.move(30)
            await store.sweep()
            assert look(path, "SELECT count(*) FROM session") == [(0,)]

    async def test_room_that_is_free_is_used_again_and_given_back(self, path: Path, clock: VirtualClock) -> None:
        async with SqliteStore(path, clock=clock) as store:
            await fill(store, range(200), ENDING, bytes(40_000))
            clock.move(60)
            await store.sweep()
            ((pages,),) = look(path, "PRAGMA page_count")
            assert isinstance(pages, int)
            assert pages < 1500
        assert path.stat().st_size < 1500 * 4096

    async def test_sessions_that_come_and_go_leave_nothing_behind(self, path: Path, clock: VirtualClock) -> None:
        async with SqliteStore(path, SqliteOptions(synchronous="normal"), clock=clock) as store:
            for round_ in range(30):
                await fill(store, range(round_ * 100, round_ * 100 + 100), ENDING)
                clock.move(61)
            ((pages,),) = look(path, "PRAGMA page_count")
            assert isinstance(pages, int)
            assert pages < 100


async def fill(store: SqliteStore, tokens: range, settings: ExpirySettings, value: bytes = b"1") -> None:
    done = await asyncio.gather(*(store.create(token, settings, {"a": value}) for token in tokens))
    assert all(done)


async def test_tokens_come_in_parts_that_together_are_all(path: Path, clock: VirtualClock) -> None:
    async with SqliteStore(path, clock=clock) as store:
        tokens = {0, 1, 5, 2**63 - 1, 2**63, 2**64 - 1}
        for token in tokens:
            await store.create(token, NEVER)
        await store.create(7, ENDING)
        clock.move(60)
        found: list[int] = []
        while part := await store.tokens(found[-1] if found else None, 2):
            found += part
        assert len(found) == len(tokens)
        assert set(found) == tokens
