"""A process that forks while it has a file open: the child opens the file anew, and neither harms the other."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")]

BEGINNING = """
import asyncio, multiprocessing, os, sys, threading, time, warnings, gc
from ndb_models import NdbClient, Repository, SessionModel
from ndb_models.errors import NdbError, StoreError, ConnectError
from ndb_models.stores.contract import NEVER, SHARED, ExpirySettings
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore
path = sys.argv[1]
uri = f"sqlite:///{path}"

def in_child(work):
    "Run work in a forked process, which must end within seconds and say nothing but its output."
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    ends = time.monotonic() + 15
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, f"the child ended with {status}"
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise SystemExit("the child hangs")
"""


async def run(path: Path, program: str, *, how: str = "", silent: bool = True) -> list[str]:
    """Run a program that begins as above; return the lines of its output."""
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-W",
            how or "ignore::DeprecationWarning",
            "-W",
            "ignore::DeprecationWarning",
        ),  # of forks beside threads
        *("-c", BEGINNING + program, str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    assert not (silent and errors), errors.decode()
    return output.decode().splitlines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


async def test_the_child_opens_the_same_file_and_both_see_what_the_other_writes(path: Path) -> None:
    program = """
async def child():
    async with NdbClient.connect(uri) as client:
        assert await client.kv_get(("parent",)) == {"parent": 1}
        await client.kv_set({"child": 1})

async def main():
    async with NdbClient.connect(uri) as client:
        await client.kv_set({"parent": 1})
        await asyncio.to_thread(in_child, lambda: asyncio.run(child()))
        print(await client.kv_get(("parent", "child")))
        await client.kv_set({"parent": 2})
        print(await client.kv_get(("parent", "child")))

asyncio.run(main())
"""
    assert await run(path, program) == ["{'parent': 1, 'child': 1}", "{'parent': 2, 'child': 1}"]


async def test_what_the_child_writes_survives_the_parents_closing(path: Path) -> None:
    """The parent is the last that is known to have it open, and tidies up, while the child goes on writing."""
    program = """
reading, writing = os.pipe()
closed, close = os.pipe()

async def child():
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"a": b"1"})
        os.write(writing, b".")
        os.read(closed, 1)
        for number in range(50):
            await store.set(SHARED, {f"{number}": b"1"})
        print(await store.count(SHARED))

async def main():
    store = SqliteStore(path)
    await store.open()
    await store.set(SHARED, {"parent": b"1"})
    forking = asyncio.create_task(asyncio.to_thread(in_child, lambda: asyncio.run(child())))
    await asyncio.to_thread(os.read, reading, 1)
    await store.set(SHARED, {"parent": b"2"})
    await store.aclose()
    os.write(close, b".")
    await forking
    async with SqliteStore(path) as store:
        print(await store.count(SHARED))

asyncio.run(main())
"""
    assert await run(path, program) == ["52", "52"]


async def test_the_child_holds_the_locks_that_keep_the_file_whole(path: Path) -> None:
    program = """
async def child():
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"a": b"1"})
        held = [line for line in open("/proc/locks") if line.split()[4] == str(os.getpid())]
        print(len(held) >= 2)

async def main():
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"parent": b"1"})
        await asyncio.to_thread(in_child, lambda: asyncio.run(child()))

asyncio.run(main())
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("nothing tells who holds which lock")
    assert await run(path, program) == ["True"]


@pytest.mark.parametrize("where", ["in the same loop", "in a loop of its own"])
async def test_what_was_inherited_is_refused_by_name_and_closed_at_once(path: Path, where: str) -> None:
    program = f"""
same_loop = {where == "in the same loop"}

async def use(client, store):
    for call in (client.kv_set({{"a": 1}}), client.kv_get(("a",)), store.set(SHARED, {{}}), store.open()):
        try:
            await call
        except NdbError as exc:
            print(type(exc).__name__, "before this process was forked" in str(exc))
    started = time.monotonic()
    await store.aclose()
    await client.close()
    await client.close()
    print(time.monotonic() - started < 5)

async def main():
    client = await NdbClient.connect(uri)
    store = SqliteStore(path)
    await store.open()
    await client.kv_set({{"a": 1}})
    if same_loop:
        if (pid := os.fork()) == 0:
            await use(client, store)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    else:
        await asyncio.to_thread(in_child, lambda: asyncio.run(use(client, store)))
    await client.kv_set({{"a": 2}})
    await client.close()
    await store.aclose()

asyncio.run(main())
"""
    assert await run(path, program) == ["StoreError True"] * 4 + ["True"]


async def test_multiprocessing_by_fork_works_as_before_a_client_was_open(path: Path) -> None:
    program = """
def child(number):
    async def work():
        async with NdbClient.connect(uri) as client:
            await client.kv_set({f"child{number}": 1})
    asyncio.run(work())

async def main():
    async with NdbClient.connect(uri) as client:
        processes = [multiprocessing.get_context("fork").Process(target=child, args=[n]) for n in range(4)]
        for process in processes:
            await client.kv_set({"parent": 1})
            process.start()
        for process in processes:
            await asyncio.to_thread(process.join, 20)
            assert process.exitcode == 0, process.exitcode
        print(await client.kv_count())

asyncio.run(main())
"""
    assert await run(path, program) == ["5"]


async def test_workers_that_are_forked_from_a_process_that_loaded_the_application(path: Path) -> None:
    """As `gunicorn --preload` does: a client was used at import, and each worker opens its own."""
    program = """
loop = asyncio.new_event_loop()
client = loop.run_until_complete(NdbClient.connect(uri).__aenter__())
loop.run_until_complete(client.kv_set({"preloaded": 1}))

def worker():
    async def serve():
        async with NdbClient.connect(uri) as own:
            await asyncio.gather(*(own.kv_set({f"{os.getpid()}.{n}": n}) for n in range(20)))
    asyncio.run(serve())

for _ in range(3):
    in_child(worker)
print(loop.run_until_complete(client.kv_count()))
loop.run_until_complete(client.close())
"""
    assert await run(path, program) == ["61"]


async def test_a_fork_in_the_middle_of_work_loses_none_of_it(path: Path) -> None:
    program = """
async def child():
    async with SqliteStore(path) as store:
        await store.set(SHARED, {f"child{os.getpid()}": b"1"})

async def main():
    async with SqliteStore(path) as store:
        done = 0
        async def write(task):
            nonlocal done
            for number in range(60):
                await store.set(SHARED, {f"{task}.{number}": b"1"})
                assert await store.get(SHARED, [f"{task}.{number}"])
                done += 1
        writing = [asyncio.create_task(write(task)) for task in range(20)]
        for _ in range(5):
            await asyncio.to_thread(in_child, lambda: asyncio.run(child()))
        await asyncio.gather(*writing)
        print(done, await store.count(SHARED))

asyncio.run(main())
"""
    assert await run(path, program) == ["1200 1205"]
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_extensions_that_are_noted_stay_the_parents(path: Path) -> None:
    program = """
async def main():
    now = 1000.0
    async with SqliteStore(path, SqliteOptions(extension_delay=60), clock=lambda: now) as store:
        await store.create(1, ExpirySettings(60, True, False, True))
        now += 50
        await store.get(1, [])
        await asyncio.to_thread(in_child, lambda: None)
        print((await store.info(1)).remaining)
    async with SqliteStore(path, clock=lambda: now) as store:
        print((await store.info(1)).remaining)

asyncio.run(main())
"""
    assert await run(path, program) == ["60.0", "60.0"]


async def test_a_file_that_goes_with_the_fork_is_not_made_anew(path: Path) -> None:
    program = """
async def main():
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"a": b"1"})
        await asyncio.to_thread(in_child, lambda: os.unlink(path))
        for call in (store.get(SHARED, ["a"]), store.set(SHARED, {"b": b"1"}), store.check()):
            try:
                await call
            except StoreError as exc:
                print("was removed" in str(exc))
    print(os.path.exists(path))

asyncio.run(main())
"""
    output = await run(path, program, silent=False)
    assert output == ["True", "True", "True", "False"]


async def test_extensions_that_cannot_be_stored_after_a_fork_keep_no_processor_busy(path: Path) -> None:
    program = """
async def main():
    async with SqliteStore(path, SqliteOptions(extension_delay=0.2)) as store:
        await store.create(1, ExpirySettings(60, True, False, True))
        await store.get(1, [])
        await asyncio.to_thread(in_child, lambda: os.unlink(path))
        started = time.process_time()
        await asyncio.sleep(1)
        print(time.process_time() - started < 5)

asyncio.run(main())
"""
    assert await run(path, program, silent=False) == ["True"]


async def test_a_client_that_is_collected_in_the_child_says_nothing_and_harms_nothing(path: Path) -> None:
    program = """
async def main():
    client = await NdbClient.connect(uri)
    store = SqliteStore(path)
    await store.open()
    held = [client, store]
    def child():
        held.clear()
        gc.collect()
    await asyncio.to_thread(in_child, child)
    await client.kv_set({"a": 1})
    await client.close()
    await store.aclose()

asyncio.run(main())
"""
    assert await run(path, program, how="default") == []


async def test_a_file_that_could_not_be_closed_before_the_fork_is_refused_by_name(path: Path) -> None:
    program = """
from ndb_models.stores.sqlite import forking
forking._LONGEST_WAIT = 0.05

async def child():
    try:
        await NdbClient.connect(uri)
    except ConnectError as exc:
        print("when this process was forked" in str(exc))

async def main():
    import sqlite3
    async with SqliteStore(path, SqliteOptions(busy_timeout=2)) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(store.set(SHARED, {"a": b"1"}))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(in_child, lambda: asyncio.run(child()))
        other.execute("COMMIT")
        other.close()
        await writing
        print(dict(await store.get(SHARED, ["a"])))

asyncio.run(main())
"""
    assert await run(path, program) == ["True", "{'a': b'1'}"]


def test_a_program_that_starts_another_without_forking_keeps_its_connections(path: Path) -> None:
    program = """
import subprocess

async def main():
    async with SqliteStore(path) as store:
        await store.set(SHARED, {"a": b"1"})
        before = os.stat(path + "-wal").st_ino
        subprocess.run([sys.executable, "-c", ""], check=True)
        assert os.stat(path + "-wal").st_ino == before
        await store.set(SHARED, {"b": b"1"})

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + program, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
