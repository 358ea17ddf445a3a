"""A process that reads sessions, and so extends them, on disks that fail (see `tests/disk`), or beside others.

python -m tests.stores.reading_on_disks FILE WHAT ARGUMENT
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import sys
import time
from pathlib import Path

from ndb_models.errors import StoreError
from ndb_models.stores.contract import ExpirySettings
from ndb_models.stores.sqlite import SqliteOptions, SqliteStore

IDLE = ExpirySettings(60, delete_session=True, extend_on_get=True)
TOKEN = 16204359010587816757


async def read_while_it_fails(path: str, failing: str) -> None:
    """Read while the disk fails, for longer than extensions wait; then look whether they are stored."""
    async with SqliteStore(path, SqliteOptions(extension_delay=0.05)) as store:
        await store.create(1, IDLE, {"a": b"1"})
        await store.create(2, IDLE, {"a": b"1"})
        Path(failing).touch()
        done = 0
        for _ in range(100):
            await asyncio.sleep(0.005)
            done += await store.get(1, ["a"]) == {"a": b"1"}
            done += await store.exist([1]) == [1]
            done += await store.contains(1, ["a"]) == ["a"]
        sys.stdout.write(f"{done} of 300 reads\n")
        await asyncio.sleep(0.1)  # by now they are stored, or refused by the disk
        await store.get(1, ["a"])  # so this one waits to be stored when the write begins
        try:
            await store.set(None, {"a": b"1" * 10_000})
        except StoreError:
            sys.stdout.write("a write fails\n")
        read = time.time()
        await store.get(2, ["a"])
        Path(failing).unlink()
    async with SqliteStore(path) as store:
        remaining = (await store.info(2)).remaining
        assert remaining is not None
        if time.time() + remaining >= read + 60:
            sys.stdout.write("extended after that\n")


async def read_on_a_slow_disk(path: str, _argument: str) -> None:
    """Print how long a read takes, while others are extended and written."""
    async with SqliteStore(path, SqliteOptions(extension_delay=0.01)) as store:
        for token in range(10):
            await store.create(token, IDLE, {"a": b"1"})
        took = []
        for number in range(100):
            started = time.perf_counter()
            await store.get(number % 10, ["a"])
            took.append(time.perf_counter() - started)
            await asyncio.sleep(0.002)
        sys.stdout.write(f"{statistics.median(took)}\n")


async def sweep(path: str, seconds: str) -> None:
    """Sweep for so long, beside other processes."""
    ends = time.monotonic() + float(seconds)
    async with SqliteStore(path) as store:
        while time.monotonic() < ends:
            await store.sweep()
            assert await store.exist([TOKEN]) == [TOKEN], "it was seen to be expired"
            await asyncio.sleep(0.01)


async def read_until_killed(path: str, delay: str) -> None:
    """Read every tenth of a second, and say when."""
    async with SqliteStore(path, SqliteOptions(extension_delay=float(delay))) as store:
        while True:
            await store.get(TOKEN, ["a"])
            os.write(1, b"%f\n" % time.time())
            await asyncio.sleep(0.1)


WHAT = {"full": read_while_it_fails, "slow": read_on_a_slow_disk, "sweep": sweep, "read": read_until_killed}

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(WHAT[sys.argv[2]](sys.argv[1], sys.argv[3]))
