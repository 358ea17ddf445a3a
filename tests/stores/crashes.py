"""Kills a process in the middle of writing to a store, again and again, and looks at what is left.

    python -m tests.stores.crashes DIRECTORY CYCLES

Each cycle goes on with what the one before left. The process says on a pipe what it is about to do, and what has been
acknowledged. So all is known of a session but whether what it was about to do last was done.

Where the environment has `DISK_SHADOW` (see `tests/disk`), each death is also a power loss: the next cycle goes on with
the files as they were when they were last synchronised.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ndb_models.stores.contract import NEVER
from ndb_models.stores.sqlite import SqliteStore

FILE = "sessions.db"
TASKS = 24
KEYS = [f"key{number}" for number in range(5)]
LONGEST_LIFE = 0.35
"""Seconds until a process is killed, at the most."""

GONE = 0
"""The number of a session that there is not; any other is in the values of all its keys."""


def value(number: int) -> bytes:
    """Return a value that tells its number, now short, now long enough for several pages."""
    return b'"%d%s"' % (number, b" " * (6000 if number % 17 == 0 else 40))


async def write(store: SqliteStore, task: int, pipe: int) -> None:
    """Create, change and end sessions, one after the other; no other task has the same."""
    for turn in itertools.count():
        token = int.from_bytes(os.urandom(7)) * 256 + task
        for number in range(1, random.randint(2, 12)):
            os.write(pipe, b"? %d %d\n" % (token, number))
            keys = dict.fromkeys(KEYS, value(number))
            if number == 1:
                assert await store.create(token, NEVER, keys)
            elif number % 5 == 0:
                assert await store.replace(token, keys) == len(KEYS)
            else:
                await store.set(token, keys)
            os.write(pipe, b"! %d %d\n" % (token, number))
        if turn % 3 == 0:
            os.write(pipe, b"? %d %d\n" % (token, GONE))
            assert await store.end(token)
            os.write(pipe, b"! %d %d\n" % (token, GONE))


async def live(path: Path, pipe: int) -> None:
    async with SqliteStore(path) as store:
        await asyncio.gather(*(write(store, task, pipe) for task in range(TASKS)))


def live_and_be_killed(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Run a process for a random time; yield what it said, as (mark, token, number)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            asyncio.run(live(path, writing))
        finally:
            os._exit(1)
    os.close(writing)
    death = time.monotonic() + random.uniform(0, LONGEST_LIFE)
    said = bytearray()
    os.set_blocking(reading, False)
    while time.monotonic() < death:
        time.sleep(0.002)
        said += read(reading)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it died before it was killed"
    said += read(reading)
    os.close(reading)
    for line in bytes(said).splitlines():
        mark, token, number = line.split()
        yield mark, int(token), int(number)


def read(pipe: int) -> bytes:
    said = b""
    while True:
        try:
            part = os.read(pipe, 1 << 20)
        except BlockingIOError:
            return said
        if not part:
            return said
        said += part


def stored(directory: Path) -> dict[int, int]:
    """Return the numbers of all sessions; fail if anything is torn.

    Looks at a copy: the files stay as death left them, for the next process to find.
    """
    copy = directory / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in directory.glob(f"{FILE}*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, copy)
    connection = sqlite3.connect(copy / FILE)
    if connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'session'").fetchone() == (0,):
        connection.close()
        return {}  # the first process did not live long enough to make them
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    orphans = connection.execute("SELECT count(*) FROM session_key WHERE tkn NOT IN (SELECT tkn FROM session)")
    assert orphans.fetchone() == (0,)
    numbers: dict[int, int] = {}
    for (token,) in connection.execute("SELECT tkn FROM session").fetchall():
        keys = dict(connection.execute("SELECT key, value FROM session_key WHERE tkn = ?", (token,)))
        values = set(keys.values())
        assert sorted(keys) == KEYS, "a session has not all its keys"
        assert len(values) == 1, "a session is torn"
        numbers[token % 2**64] = int(values.pop().strip(b'"'))
    connection.close()
    return numbers


class Expectation:
    """What must be there: for each session the number that was acknowledged last, or the one that was asked for."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, int] = {}
        self.asked: dict[int, int] = {}
        self.count = 0

    def hear(self, mark: bytes, token: int, number: int) -> None:
        if mark == b"?":
            self.asked[token] = number
        else:
            del self.asked[token]
            self.acknowledged[token] = number
            self.count += 1

    def check(self, found: dict[int, int]) -> None:
        """Compare, and go on from what is there."""
        for token in self.acknowledged.keys() | self.asked.keys() | found.keys():
            right = {self.acknowledged.get(token, GONE), self.asked.get(token, self.acknowledged.get(token, GONE))}
            number = found.get(token, GONE)
            assert number in right, f"there is {number}, and not one of {right}"
        self.acknowledged = found
        self.asked = {}


def lose_power(directory: Path, shadow: Path) -> None:
    """Leave of the files what was synchronised; what SQLite keeps in memory is gone too."""
    for path in directory.glob(f"{FILE}*"):
        path.unlink()
    for name in (FILE, f"{FILE}-wal"):
        if (shadow / name).exists():
            shutil.copy(shadow / name, directory / name)


def main(directory: Path, cycles: int) -> None:
    """Go through so many lives, and print how much was acknowledged in them."""
    shadow = os.environ.get("DISK_SHADOW")
    expectation = Expectation()
    for _ in range(cycles):
        for word in live_and_be_killed(directory / FILE):
            expectation.hear(*word)
        if shadow is not None:
            lose_power(directory, Path(shadow))
        expectation.check(stored(directory))
    sys.stdout.write(f"{expectation.count}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
