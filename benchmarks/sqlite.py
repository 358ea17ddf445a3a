"""The store in a file against SQLite itself, and against aiosqlite; on a disk as it is, and on slower ones.

What is measured is to write five keys of a session, at `synchronous=FULL`, 1,000 sessions in turn.

- bare: one loop, no event loop, no threads: transactions of 50 saves each, on the same file.
- ours: 50 tasks, each of which waits for its save to be on the disk before it goes on.
- aiosqlite, one connection: the same 50 tasks, a lock around each transaction, without which they would commit (or roll
  back) each other's.
- aiosqlite, connecting: a connection for each save, as its documentation has it.

A slower disk is one whose every fsync takes a millisecond, or five, longer (`tests/disk`). Each is measured in a
process of its own: `python -m benchmarks.sqlite SCALE ROUNDS TITLE`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.harness import Side, compare, table
from ndb_models.stores.contract import NEVER
from ndb_models.stores.sqlite import SqliteStore
from ndb_models.stores.sqlite.maps import signed
from ndb_models.stores.sqlite.opening import open_for_writing
from tests.disk import build

TASKS = 50
SESSIONS = 1000
WRITE = "INSERT INTO session_key VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
TOKENS = [random.Random(number).getrandbits(64) for number in range(SESSIONS)]


def keys(number: int) -> dict[str, bytes]:
    """Return five keys that tell their number."""
    return {f"field{key}": b'"%d%s"' % (number, b"." * 20) for key in range(5)}


def rows(number: int) -> list[tuple[int, str, bytes]]:
    """Return them as rows of the table."""
    token = signed(TOKENS[number % SESSIONS])
    return [(token, name, value) for name, value in keys(number).items()]


def bare(saves: int) -> Callable[[str], Awaitable[float]]:
    """SQLite, and nothing else."""

    async def run(path: str) -> float:
        return await asyncio.to_thread(_bare, path, saves)

    return run


def _bare(path: str, saves: int) -> float:
    connection = open_for_writing(path, 1)
    started = time.perf_counter()
    for first in range(0, saves, TASKS):
        connection.execute("BEGIN IMMEDIATE")
        for number in range(first, first + TASKS):
            connection.executemany(WRITE, rows(number))
        connection.execute("COMMIT")
    rate = saves / (time.perf_counter() - started)
    connection.close()
    return rate


def ours(saves: int) -> Callable[[str], Awaitable[float]]:
    """50 tasks on the store."""

    async def run(path: str) -> float:
        async with SqliteStore(path) as store:

            async def save(number: int) -> None:
                await store.set(TOKENS[number % SESSIONS], keys(number))

            return await _in_tasks(save, saves)

    return run


def aiosqlite_on_one_connection(saves: int) -> Callable[[str], Awaitable[float]]:
    """50 tasks on one connection."""

    async def run(path: str) -> float:
        import aiosqlite

        async with aiosqlite.connect(path) as connection:
            await connection.execute("PRAGMA synchronous = FULL")
            lock = asyncio.Lock()

            async def save(number: int) -> None:
                async with lock:
                    await connection.executemany(WRITE, rows(number))
                    await connection.commit()

            return await _in_tasks(save, saves)

    return run


def aiosqlite_connecting(saves: int) -> Callable[[str], Awaitable[float]]:
    """A connection for each save."""

    async def run(path: str) -> float:
        import aiosqlite

        async def save(number: int) -> None:
            async with aiosqlite.connect(path, timeout=60) as connection:
                await connection.execute("PRAGMA synchronous = FULL")
                await connection.executemany(WRITE, rows(number))
                await connection.commit()

        return await _in_tasks(save, saves)

    return run


async def _in_tasks(save: Callable[[int], Awaitable[None]], saves: int) -> float:
    async def task(first: int) -> None:
        for number in range(first, saves, TASKS):
            await save(number)

    started = time.perf_counter()
    await asyncio.gather(*(task(first) for first in range(TASKS)))
    return saves / (time.perf_counter() - started)


async def _make_sessions(path: str) -> None:
    async with SqliteStore(path) as store:
        await asyncio.gather(*(store.create(token, NEVER) for token in TOKENS))


def measure(title: str, *, scale: float, rounds: int) -> None:
    """Compare all sides on the disk as it is for this process."""
    many, few = (max(TASKS, int(count * scale) // TASKS * TASKS) for count in (20_000, 1_000))
    sides = [Side("bare", bare(many)), Side("ours", ours(many))]
    if importlib.util.find_spec("aiosqlite") is not None:
        sides += [
            Side("aiosqlite, one connection", aiosqlite_on_one_connection(few)),
            Side("aiosqlite, connecting", aiosqlite_connecting(few // 5)),
        ]
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory, "sessions.db"))
        asyncio.run(_make_sessions(path))
        compare(title, sides, path, rounds)


def bench(*, scale: float, rounds: int) -> None:
    """Run all comparisons, each in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        library = build(Path(directory))
        for milliseconds in (0, 1, 5):
            title = f"Five-key saves in a file, 50 tasks, {milliseconds} ms added to each fsync"
            environment = dict(os.environ)
            if milliseconds:
                if library is None:
                    table(title, ("side", ""), [("not measured", "there is no compiler")])
                    continue
                environment |= {"LD_PRELOAD": library, "DISK_SYNC_MICROSECONDS": str(milliseconds * 1000)}
            slower = scale / (1 + milliseconds)
            command = [sys.executable, "-m", "benchmarks.sqlite", str(slower), str(rounds), title]
            subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    measure(sys.argv[3], scale=float(sys.argv[1]), rounds=int(sys.argv[2]))
