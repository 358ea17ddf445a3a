"""The server that is fuzzed, and the well-behaved client beside it, which must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ndb_models import Expiry, NdbClient, Repository, SessionModel

ROOT: Final = Path(__file__).parent.parent.parent
STARTS_WITHIN: Final = 30
STOPS_WITHIN: Final = 30


@dataclass
class Subject:
    """A server in a process of its own.

    Attributes:
        uri: where it listens.
        pid: its process.
        longest_hold: once it has stopped, the longest time that a request held its event loop: CPU time, in seconds.
    """

    uri: str
    pid: int
    longest_hold: float = 0.0

    @property
    def port(self) -> int:
        port = urlsplit(self.uri).port
        assert port is not None
        return port

    def resident_bytes(self) -> int | None:
        """Return how much memory the process occupies; None where the system does not say."""
        status = Path(f"/proc/{self.pid}/status")
        if not status.exists():
            return None
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text("ascii"))
        assert found is not None
        return int(found[1]) * 1024

    def open_files(self) -> int | None:
        """Return how many files and sockets the process has open; None where the system does not say."""
        folder = Path(f"/proc/{self.pid}/fd")
        return sum(1 for _ in folder.iterdir()) if folder.exists() else None

    async def emptied(self) -> int | None:
        """Remove all data, and return how much memory the process occupies without it."""
        async with NdbClient.connect(self.uri) as client:
            await client.kv_clear()
            await client.sh_end_all()
        return self.resident_bytes()


# Mutated tokens are guesses, and the server is right to say so.
_ABOUT_GUESSES: Final = "WARNING:ndb_models.server.missed_tokens:many tokens of sessions that do not exist"


@contextlib.asynccontextmanager
async def subject(persist_path: Path) -> AsyncIterator[Subject]:
    """Start a server; at the end see that it stops when it is told to, and that it had nothing to complain about."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "tests.fuzz.serve", str(persist_path)),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    complaints = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(STARTS_WITHIN):
            uri = (await process.stdout.readline()).decode().strip()
        server = Subject(uri, process.pid)
        yield server
        process.terminate()
        async with asyncio.timeout(STOPS_WITHIN):
            server.longest_hold = float(await process.stdout.readline() or "nan")
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        written = (await complaints).decode()
        sys.stdout.write(written)  # also where the test has failed for another reason
    complained = [line for line in written.splitlines() if not line.startswith(_ABOUT_GUESSES)]
    assert (process.returncode, complained) == (0, []), f"status {process.returncode}: {written}"


@dataclass(frozen=True)
class Growth:
    """How much more memory a process occupies than before, where the system says it."""

    before: int | None
    after: int | None

    @property
    def bytes(self) -> int:
        return (self.after or 0) - (self.before or 0)

    def __str__(self) -> str:
        if self.before is None:
            return "memory cannot be seen here, and was not looked at"
        return f"memory {self.bytes / 2**20:+.1f} MiB of {self.before / 2**20:.0f}"


def tree(folder: Path) -> set[Path]:
    """Return all that is below a folder."""
    return set(folder.rglob("*"))


class Bystander(SessionModel, expiry=Expiry(idle=3600)):
    """The session of the client beside."""

    owner: str
    visits: int


@dataclass
class Aside:
    """What the client beside saw: how long each of its requests took, in seconds."""

    latencies: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        ordered = sorted(self.latencies)
        middle, last = ordered[len(ordered) // 2], ordered[-1]
        return f"{len(ordered)} requests beside, median {middle * 1e3:.1f} ms, longest {last * 1e3:.0f} ms"


@contextlib.asynccontextmanager
async def undisturbed(uri: str, *, longest: float = 20.0) -> AsyncIterator[Aside]:
    """Save and get a session again and again while something else goes on; every answer must be right and in time."""
    aside = Aside()

    async def carry_on() -> None:
        async with NdbClient.connect(uri, request_timeout=longest, reconnect=False) as client:
            repo = Repository(client, Bystander)
            session = await repo.save(Bystander(owner="somebody", visits=0))
            while True:
                started = time.perf_counter()
                session.visits += 1
                await repo.save(session)
                assert await repo.get(session.tkn) == session
                aside.latencies.append(time.perf_counter() - started)
                await asyncio.sleep(0.002)  # it is a client among others, and not a load

    carrying_on = asyncio.create_task(carry_on())
    try:
        yield aside
        await asyncio.wait([carrying_on], timeout=0.1)
    finally:
        if not carrying_on.cancel():
            await carrying_on
        await asyncio.wait([carrying_on])
    assert len(aside.latencies) > 1
    assert max(aside.latencies) < longest
