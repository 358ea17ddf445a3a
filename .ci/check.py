"""Run all stages of CI, those beside each other that can be, and say what each took.

`python .ci/check.py`, or `make check`. Two stages run at a time: most tests wait for a process, a peer or a disk, and
one stage would leave a core idle for a third of its time. Every stage runs, also after one that failed. Each line
says of which stage it is. The times are those on the clock, and of the processors.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

# Stages of one step run beside each other, two at a time, in this order. A step begins when the one before it is done:
# while environments are made, the metadata that tests look at is written.
STEPS: Final = (
    ("demo",),
    ("types", "environments", "lint", "docs", "package", "fuzz"),
    ("test", "versions", "debug"),
)

# Their tests wait for a peer for so long, or judge times. The other stages take what these leave of the processors.
FIRST_SERVED: Final = ("test", "fuzz")
NICE: Final = ("nice", "-n", "5")

# How often the process dies that writes to a file; `make test` kills less.
ENVIRONMENT: Final = {"NDB_CRASHES": "100", "NDB_TESTS": "all", "NDB_FAST_ON": "OTHERS"} | os.environ

LONGEST_LAST_WORDS: Final = 10.0
"""Seconds to wait for the output of a stage that is done: a process that it left behind may never close it."""


def main() -> int:
    """Run all stages; return 1 if one failed."""
    begun = time.monotonic()
    failed: list[str] = []
    for step in STEPS:
        with ThreadPoolExecutor(2) as pool:
            failed += [stage for stage, status in zip(step, pool.map(run, step), strict=True) if status]
    say(f"make check: {time.monotonic() - begun:.0f} s, {'failed: ' + ', '.join(failed) if failed else 'all passed'}")
    return 1 if failed else 0


def run(stage: str) -> int:
    """Run a stage, and show what it wrote and took; return its status."""
    begun = time.monotonic()
    command = (*(() if stage in FIRST_SERVED else NICE), "make", "--no-print-directory", "--jobs=2", stage)
    process = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace"
    )
    shown = Thread(target=show, args=(stage, process.stdout), daemon=True)
    shown.start()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    shown.join(LONGEST_LAST_WORDS)
    took = f"{time.monotonic() - begun:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor time"
    say(f"make {stage}: {'FAILED after' if process.returncode else 'passed in'} {took}")
    return process.returncode


def show(stage: str, written: Iterable[str]) -> None:
    """Show each line that a stage writes."""
    for line in written:
        say(f"{stage} | {line.rstrip()}")


def say(text: str) -> None:
    """Write a line at once, and in one piece."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
