"""How long a request holds the event loop, and how much memory it takes."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

MEBIBYTE = 1024 * 1024


async def longest_hold(work: Awaitable[T]) -> tuple[float, T]:
    """Return the longest time between two rounds of the loop, and the outcome of what was done meanwhile.

    Time is that of the processor, in seconds: what else runs on the machine does not count, another thread of this
    process that keeps the interpreter does. Collecting garbage does not: other tests of the process leave more or less.
    """
    longest = collecting = 0.0
    done = False

    def now() -> float:
        return time.process_time() - collecting

    def note_garbage(phase: str, _: dict[str, int]) -> None:
        nonlocal collecting
        collecting += time.process_time() * (1 if phase == "stop" else -1)

    async def watch() -> None:
        nonlocal longest
        last = now()
        while not done:
            await asyncio.sleep(0)
            longest, last = max(longest, now() - last), now()

    gc.callbacks.append(note_garbage)
    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        outcome = await work
    finally:
        done = True
        await watching
        gc.callbacks.remove(note_garbage)
    return longest, outcome


async def memory_taken(work: Awaitable[T]) -> tuple[float, T]:
    """Return the most memory that was taken at a time beyond what was there, in MiB, and the outcome."""
    tracemalloc.start()
    try:
        outcome = await work
        return tracemalloc.get_traced_memory()[1] / MEBIBYTE, outcome
    finally:
        tracemalloc.stop()
