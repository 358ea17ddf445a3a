"""`python -m benchmarks.fairness`: floods of many kinds on 4 connections, and what another client notices of each.

The server reports how much CPU time its turns of the event loop take. Unlike latencies, that does not depend on what
else runs on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.floods import FLOODS, FURTHER_FLOODS, Target, flooding, latencies, percentile, pipelined
from benchmarks.harness import loop_factories, table
from ndb_models.engine import Engine
from ndb_models.server import NdbServer
from ndb_models.server.options import ServerOptions
from ndb_models.server.running import pass_over_program
from ndb_models.stores.opening import open_store

CONNECTIONS: Final = 4
_IN_FLIGHT: Final = 64
_KINDS: Final = (*FLOODS, *FURTHER_FLOODS)
_HEAD: Final = (
    "flood",
    "one at a time, 1/s",
    "of alone",
    f"{_IN_FLIGHT} in flight, 1/s",
    "of alone",
    "p50 ms",
    "p99 ms",
    "longest ms",
    "p99 of turns, CPU ms",
)
_TLS: Final = Path(__file__).parent.parent / "tests" / "transport" / "tls"


class FairnessServer:
    """A server of one process or several, each of which measures its turns."""

    def __init__(self, target: Target, workers: list[subprocess.Popen[str]]) -> None:
        self.target = target
        self._workers = workers

    def turns(self) -> float:
        """Return the CPU time in seconds that 99 % of the turns since the last call stayed under, in every process."""
        return max(_ask(worker, "turns") for worker in self._workers)


def _ask(worker: subprocess.Popen[str], question: str) -> float:
    assert worker.stdout is not None
    assert worker.stdin is not None
    worker.stdin.write(f"{question}\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def _port(worker: subprocess.Popen[str]) -> int:
    assert worker.stdout is not None
    return int(worker.stdout.readline())


@contextlib.contextmanager
def fairness_server(
    loop: str, store: str = "memory", workers: int = 1, *, tls: bool = False
) -> Iterator[FairnessServer]:
    """Start a server on a loop of `loop_factories`, and end it.

    Args:
        loop: the name of the loop.
        store: `memory` or `sqlite`; several workers need the latter.
        workers: how many processes share the port.
        tls: whether it is reached over TLS.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        started: list[subprocess.Popen[str]] = []
        port = 0
        for _ in range(workers):
            flags = ("--port", str(port), "--folder", folder, "--store", store, *(["--tls"] if tls else []))
            command = [sys.executable, "-m", "benchmarks.fairness", "--serve", loop, *flags]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            started.append(process)
            port = _port(process)
        yield FairnessServer(Target(port, _TLS / "certificate.pem" if tls else None), started)


async def _serve(port: int, folder: Path, store: str, *, tls: bool) -> None:
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

    uri = "memory://" if store == "memory" else f"sqlite:///{folder / 'sessions.db'}"
    engine = Engine(await open_store(uri), persist_path=folder)
    await engine.handle(b'{"KV_SET":{"keys":{"stored":[%s]}}}' % b",".join(b"%d" % number for number in range(2000)))
    files = (_TLS / "certificate.pem", _TLS / "key.pem") if tls else (None, None)
    options = ServerOptions(port=port, reuse_port=True, tls_cert=files[0], tls_key=files[1])
    pass_over_program()
    async with NdbServer(engine, options) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        loop.add_reader(sys.stdin.fileno(), report)
        loop.call_soon(turn)
        await asyncio.Event().wait()


def measure(loop: str, kinds: Sequence[str], seconds: float, store: str, workers: int, *, tls: bool) -> None:
    """Print the table of one loop. Before each flood, the client is measured alone."""
    with fairness_server(loop, store, workers, tls=tls) as server:
        rows: list[tuple[str, ...]] = []
        for kind in kinds:
            alone = len(latencies(server.target, seconds)) / seconds
            busy_alone = pipelined(server.target, seconds, _IN_FLIGHT)
            with flooding(server.target, kind, CONNECTIONS):
                time.sleep(0.3)
                server.turns()
                taken = latencies(server.target, seconds)
                turns = server.turns()
                busy = pipelined(server.target, seconds, _IN_FLIGHT)
            rate = len(taken) / sum(taken)
            times = (percentile(taken, 0.5), percentile(taken, 0.99), max(taken), turns)
            rates = (f"{rate:,.0f}", f"{rate / alone:.2f}", f"{busy:,.0f}", f"{busy / busy_alone:.2f}")
            rows.append((kind, *rates, *(f"{each * 1e3:.2f}" for each in times)))
    way = f"{loop}, {store}, {workers} worker(s), {'TLS' if tls else 'TCP'}"
    table(f"One client beside a flood on {CONNECTIONS} connections ({way})", _HEAD, rows)


def main() -> None:
    """Serve, or measure all loops."""
    parser = argparse.ArgumentParser(prog="benchmarks.fairness")
    parser.add_argument("--serve", choices=tuple(loop_factories()), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--store", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--kinds", nargs="+", choices=_KINDS, default=_KINDS, help="the floods, instead of all")
    parser.add_argument("--loop", choices=tuple(loop_factories()), help="one event loop, instead of all")
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    if options.serve is not None:
        with asyncio.Runner(loop_factory=loop_factories()[options.serve]) as runner:
            runner.run(_serve(options.port, options.folder, options.store, tls=options.tls))
        return
    for loop in loop_factories() if options.loop is None else (options.loop,):
        measure(loop, options.kinds, options.seconds, options.store, options.workers, tls=options.tls)


if __name__ == "__main__":
    main()
