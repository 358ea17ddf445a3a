"""How much one server holds: a million sessions of five short fields, and two thousand connections.

- sessions: a process of its own creates them by `SH_NEW_SET` frames in its engine and saves them; another one loads
  them, as a server does when it starts anew. What a process occupies more than before is divided among the sessions.
- connections: each has a session of its own and reads it again and again, with its answers checked: at a pace, twice a
  second, and then as fast as they can all together. One process is the client of all of them, and its own queue is in
  the latencies.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.harness import loop_factories, table
from benchmarks.servers import MeasuredServer, allow_open_files
from ndb_models import NdbClient
from ndb_models.errors import NdbError

SESSIONS: Final = 1_000_000
CONNECTIONS: Final = 2_000
OPENED_AT_ONCE: Final = 50
PACE: Final = 0.5
"""Seconds between two requests of one connection."""
OPEN_FILES: Final = CONNECTIONS + 100
"""So many a process of either side has to be allowed to open."""


def bench(server: MeasuredServer, *, scale: float) -> None:
    """Measure both; `scale` is of the sessions, and of the time that the connections are there."""
    _sessions(int(SESSIONS * scale))
    title = f"{CONNECTIONS:,} connections"
    if not allow_open_files(OPEN_FILES):
        table(title, ("how", ""), [("not measured", "the system allows too few open files: ulimit -n")])
        return
    loop_name, factory = list(loop_factories().items())[-1]
    with asyncio.Runner(loop_factory=factory) as runner:
        rows = runner.run(_connections(server, scale))
    table(f"{title} ({loop_name})", _Load.HEAD, rows)


# Sessions


def _sessions(count: int) -> None:
    title = f"{count:,} sessions of five short fields"
    if sys.platform != "linux":
        table(title, ("how", ""), [("not measured", "memory is read from /proc")])
        return
    with tempfile.TemporaryDirectory() as folder:
        created = _filled("fill", count, folder)
        loaded = _filled("load", count, folder)
    rows = [
        ("created by frames", *_figures(created)),
        ("saved", "", f"{created['saved_in']:.1f}"),
        ("loaded at the start", *_figures(loaded)),
    ]
    table(title, ("how", "bytes each", "seconds"), rows)


def _figures(result: dict[str, float]) -> tuple[str, str]:
    return f"{result['bytes']:,.0f}", f"{result['seconds']:.1f}"


def _filled(way: str, count: int, folder: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.filling", way, str(count), folder]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    result: dict[str, float] = json.loads(printed)
    return result


# Connections


@dataclass
class _Load:
    """What the connections saw; latencies in seconds."""

    HEAD = ("how", "requests/s", "per core", "errors", "p50 ms", "p99 ms", "p99.9 ms", "longest ms")

    latencies: list[float] = field(default_factory=list)
    errors: int = 0

    async def read(self, client: NdbClient, tkn: int, until: float, pace: float) -> None:
        """Read a session again and again, and see that it is this one; `pace` in seconds, 0 for no pause."""
        await asyncio.sleep(random.uniform(0, pace))
        while time.perf_counter() < until:
            started = time.perf_counter()
            try:
                right = await client.sh_get(("number",), tkn) == {"number": tkn}
            except NdbError:
                right = False
            took = time.perf_counter() - started
            self.latencies.append(took)
            self.errors += not right
            if pace:
                await asyncio.sleep(pace - took if took < pace else 0)

    def row(self, how: str, seconds: float, busy: float | None) -> Sequence[str]:
        """Return the row of the table; `busy` is for how many seconds the server worked, None where that is unknown."""
        self.latencies.sort()
        last = len(self.latencies) - 1
        latencies = (f"{self.latencies[int(last * part)] * 1e3:,.1f}" for part in (0.5, 0.99, 0.999, 1))
        per_core = f"{len(self.latencies) / busy:,.0f}" if busy else ""
        return how, f"{len(self.latencies) / seconds:,.0f}", per_core, str(self.errors), *latencies


async def _connections(server: MeasuredServer, scale: float) -> list[Sequence[str]]:
    clients = await _opened(server.uri)
    try:
        tokens = [(await client.sh_create_session()).tkn for client in clients]
        for client, tkn in zip(clients, tokens, strict=True):
            await client.sh_set({"number": tkn}, tkn)
        return [
            await _loaded(server, clients, tokens, seconds * scale, pace, how)
            for how, seconds, pace in (("2 a second each", 60.0, PACE), ("as fast as they can", 10.0, 0.0))
        ]
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def _opened(uri: str) -> list[NdbClient]:
    clients: list[NdbClient] = []
    while len(clients) < CONNECTIONS:
        clients += await asyncio.gather(*(NdbClient.connect(uri, reconnect=False) for _ in range(OPENED_AT_ONCE)))
    return clients


async def _loaded(
    server: MeasuredServer, clients: list[NdbClient], tokens: list[int], seconds: float, pace: float, how: str
) -> Sequence[str]:
    load = _Load()
    before, started = server.cpu_seconds(), time.perf_counter()
    until = started + seconds
    await asyncio.gather(*(load.read(client, tkn, until, pace) for client, tkn in zip(clients, tokens, strict=True)))
    took, after = time.perf_counter() - started, server.cpu_seconds()
    return load.row(how, took, None if before is None or after is None else after - before)
