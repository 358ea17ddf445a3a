"""`python -m benchmarks.fairness`: floods of 12 kinds on 4 connections, and what another client notices of each.

The server reports how much CPU time its turns of the event loop take. Unlike latencies, that does not depend on what
else runs on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.floods import FLOODS, flooding, latencies, percentile
from benchmarks.harness import loop_factories, table
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore

CONNECTIONS: Final = 4
_HEAD: Final = ("flood", "requests/s", "share of alone", "p50 ms", "p99 ms", "longest ms", "p99 of turns, CPU ms")


class FairnessServer:
    """A server in a process of its own, which measures its turns."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stdin is not None
        self._answers, self._questions = process.stdout, process.stdin
        self.port = int(self._answers.readline())

    def turns(self) -> float:
        """Return the CPU time in seconds that 99 % of the turns since the last call stayed under."""
        self._questions.write("turns\n")
        self._questions.flush()
        return float(self._answers.readline())


@contextlib.contextmanager
def fairness_server(loop: str) -> Iterator[FairnessServer]:
    """Start a server on a loop of `loop_factories`, and end it."""
    command = [sys.executable, "-m", "benchmarks.fairness", "--serve", loop]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield FairnessServer(process)
        finally:
            process.kill()


async def _serve() -> None:
    turns: list[float] = []
    last = time.process_time()
    loop = asyncio.get_running_loop()

    def turn() -> None:
        nonlocal last
        now = time.process_time()
        turns.append(now - last)
        last = now
        loop.call_soon(turn)

    def report() -> None:
        sys.stdin.readline()
        sys.stdout.write(f"{percentile(turns, 0.99) if turns else 0.0}\n")
        sys.stdout.flush()
        turns.clear()

    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        loop.add_reader(sys.stdin.fileno(), report)
        loop.call_soon(turn)
        await asyncio.Event().wait()


def measure(loop: str, seconds: float) -> None:
    """Print the table of one loop."""
    with fairness_server(loop) as server:
        alone = len(latencies(server.port, seconds)) / seconds
        rows: list[tuple[str, ...]] = []
        for kind in FLOODS:
            with flooding(server.port, kind, CONNECTIONS):
                time.sleep(0.3)
                server.turns()
                taken = latencies(server.port, seconds)
                turns = server.turns()
            rate = len(taken) / sum(taken)
            times = (percentile(taken, 0.5), percentile(taken, 0.99), max(taken), turns)
            rows.append((kind, f"{rate:,.0f}", f"{rate / alone:.2f}", *(f"{each * 1e3:.2f}" for each in times)))
    table(
        f"One client beside a flood on {CONNECTIONS} connections ({loop}; alone {alone:,.0f} requests/s)", _HEAD, rows
    )


def main() -> None:
    """Serve, or measure all loops."""
    parser = argparse.ArgumentParser(prog="benchmarks.fairness")
    parser.add_argument("--serve", choices=tuple(loop_factories()))
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    if options.serve is not None:
        with asyncio.Runner(loop_factory=loop_factories()[options.serve]) as runner:
            runner.run(_serve())
        return
    for loop in loop_factories():
        measure(loop, options.seconds)


if __name__ == "__main__":
    main()
