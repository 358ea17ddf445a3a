"""Run all stages of CI, those beside each other that can be, and say what each took.

`python .ci/check.py`, or `make check`. Two stages run at a time: most tests wait for a process, a peer or a disk, and
one stage would leave a core idle for a third of its time. Every stage runs, also after one that failed. Each line
says of which stage it is. The times are those on the clock, and of the processors.

What failed is told again at the end, and the last line sums up the tests of all stages: "22231 passed, 1 failed".
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
from typing import Final, NamedTuple

from verdicts import counted, why_failed

ROOT: Final = Path(__file__).resolve().parent.parent

# Stages of one step run beside each other, two at a time, in this order. A step begins when the one before it is done:
# while environments are made, the metadata that tests look at is written. `coverage` runs the tests and measures which
# branches they take, `rest` runs those that it leaves out, and each takes part of the time of all the others.
STEPS: Final = (
    ("demo", "environments"),
    ("coverage", "versions", "types", "docs", "fuzz", "rest", "package", "debug", "lint"),
)

# Their tests wait for a peer for so long, or judge times. The other stages take what these leave of the processors.
FIRST_SERVED: Final = ("coverage", "fuzz", "rest")
NICE: Final = ("nice", "-n", "5")

# How often the process dies that writes to a file; `make test` kills less.
ENVIRONMENT: Final = {"NDB_CRASHES": "100", "NDB_FAST_ON": "OTHERS"} | os.environ

LONGEST_LAST_WORDS: Final = 10.0
"""Seconds to wait for the output of a stage that is done: a process that it left behind may never close it."""


LONGEST_ENDING: Final = 80
"""Lines about failures at the end."""


class Outcome(NamedTuple):
    """How a stage ended, and what it wrote."""

    stage: str
    status: int
    lines: list[str]


def main() -> int:
    """Run all stages; return 1 if one failed."""
    begun = time.monotonic()
    outcomes: list[Outcome] = []
    for step in STEPS:
        with ThreadPoolExecutor(2) as pool:
            outcomes += pool.map(run, step)
    failed = [outcome for outcome in outcomes if outcome.status]
    for outcome in failed:
        tell_failures(outcome, LONGEST_ENDING // len(failed))
    verdict = f"failed: {', '.join(outcome.stage for outcome in failed)}" if failed else "all passed"
    say(f"make check: {time.monotonic() - begun:.0f} s, {verdict}")
    say(total(outcomes))
    return 1 if failed else 0


def run(stage: str) -> Outcome:
    """Run a stage, and show what it wrote and took."""
    begun = time.monotonic()
    command = (*(() if stage in FIRST_SERVED else NICE), "make", "--no-print-directory", "--jobs=2", stage)
    process = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace"
    )
    lines: list[str] = []
    shown = Thread(target=show, args=(stage, process.stdout, lines), daemon=True)
    shown.start()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    shown.join(LONGEST_LAST_WORDS)
    took = f"{time.monotonic() - begun:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor time"
    say(f"make {stage}: {'FAILED after' if process.returncode else 'passed in'} {took}")
    return Outcome(stage, process.returncode, lines)


def show(stage: str, written: Iterable[str], lines: list[str]) -> None:
    """Show each line that a stage writes, and keep it."""
    for line in written:
        lines.append(line.rstrip())
        say(f"{stage} | {line.rstrip()}")


def tell_failures(outcome: Outcome, longest: int) -> None:
    """Say again which tests of a stage failed, and how the first one did, in at most so many lines."""
    say(f"make {outcome.stage} failed:")
    for line in why_failed(outcome.lines, longest - 1):
        say(f"{outcome.stage} | {line}")


def total(outcomes: Iterable[Outcome]) -> str:
    """Return the sums over all stages. A stage that failed without a failed test counts as a failed one."""
    passed = failed = 0
    for outcome in outcomes:
        counts = counted(outcome.lines)
        passed += counts.passed
        failed += max(counts.failed, int(outcome.status != 0))
    return f"{passed} passed, {failed} failed"


def say(text: str) -> None:
    """Write a line at once, and in one piece."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
