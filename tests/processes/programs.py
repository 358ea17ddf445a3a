"""Programs that tests run in a process of their own."""

from __future__ import annotations

import asyncio
import sys
from typing import Final, NamedTuple

GUARD: Final = 60


class Outcome(NamedTuple):
    """How a program ended."""

    status: int | None
    output: str
    complaint: str


async def run_program(program: str, *args: str, options: tuple[str, ...] = (), guard: float = GUARD) -> Outcome:
    """Run a program, and return how it ended. One that takes longer than `guard` seconds fails the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *options,
        "-c",
        program,
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), guard)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return Outcome(process.returncode, output.decode(), complaint.decode())
