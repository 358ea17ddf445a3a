"""Running sides in turn, and printing what came out."""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from websockets.asyncio.client import connect

Run = Callable[[str], Awaitable[float]]
"""Does the work of one side against the server at a URI; returns operations per second."""


@dataclass(frozen=True)
class Side:
    """One of the things that are compared."""

    name: str
    run: Run


def loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the event loops to measure with: asyncio's own, and uvloop's where it is installed."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    return factories


def compare(title: str, sides: Sequence[Side], uri: str, rounds: int) -> None:
    """Run the sides in turn, so many rounds, on each event loop; print medians, and ratios to the first side."""
    for loop_name, factory in loop_factories().items():
        results: dict[str, list[float]] = {side.name: [] for side in sides}
        for _ in range(rounds):
            for side in sides:
                with asyncio.Runner(loop_factory=factory) as runner:
                    results[side.name].append(runner.run(_run(side, uri)))
        first = sides[0].name
        rows = []
        for name, rates in results.items():
            ratios = [rate / base for rate, base in zip(rates, results[first], strict=True)]
            rows.append((name, f"{statistics.median(rates):,.0f}", f"{statistics.median(ratios):.2f}"))
        table(f"{title} ({loop_name})", ("side", "operations/s", f"times {first}"), rows)


async def seconds_bare(uri: str, frames: Sequence[str], depth: int) -> float:
    """Send ready-made frames over a bare connection, so many in flight; return the seconds until the last answer."""
    async with connect(uri, compression=None, proxy=None) as websocket:
        started = time.perf_counter()
        for frame in frames[:depth]:
            await websocket.send(frame)
        for frame in frames[depth:]:
            await websocket.recv()
            await websocket.send(frame)
        for _ in range(depth):
            await websocket.recv()
        return time.perf_counter() - started


async def _run(side: Side, uri: str) -> float:
    return await side.run(uri)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a head; all columns but the first to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    out = [f"\n{title}"]
    for row in (head, ["-" * width for width in widths], *rows):
        cells = (
            cell.ljust(width) if not at else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        out.append("  ".join(cells).rstrip())
    sys.stdout.write("\n".join(out) + "\n")
    sys.stdout.flush()
