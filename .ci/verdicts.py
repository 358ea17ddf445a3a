"""What the output of a stage says: how many tests passed and failed, and why it failed, in a few lines.

CI shows the last hundred lines of its output. `check.py` repeats the failures there, where they are not cut off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple

# "===== 1 failed, 22231 passed, 3 skipped in 290.12s (0:04:50) =====", with or without the rules.
_TOTALS: Final = re.compile(r"^=*\s*((?:\d+ \w+(?:, )?)+) in \d+\.\d+s\b")
_COUNT: Final = re.compile(r"(\d+) (passed|failed|errors?)\b")
_FAILURE: Final = re.compile(r"^(FAILED|ERROR) \S+::")
_FAILURES: Final = re.compile(r"^=+ (FAILURES|ERRORS) =+$")
# "____ test_name ____" begins a traceback. "_ _ _ _" parts the frames in it.
_HEADING: Final = re.compile(r"^_{2,} .+ _{2,}$")
_NEXT_PART: Final = re.compile(r"^(_{2,} .+ _{2,}|=+ .+ =+)$")
_CAPTURED: Final = re.compile(r"^-+ Captured .+ -+$")

_LONGEST_CAPTURED: Final = 8
_LAST_LINES: Final = 30


class Counts(NamedTuple):
    """Numbers of tests. Errors in setting up a test, or in taking it down, count as failures."""

    passed: int
    failed: int


def counted(lines: Sequence[str]) -> Counts:
    """Return the sums over all runs of pytest in this output."""
    passed = failed = 0
    for line in lines:
        if totals := _TOTALS.match(line):
            for number, what in _COUNT.findall(totals[1]):
                if what == "passed":
                    passed += int(number)
                else:
                    failed += int(number)
    return Counts(passed, failed)


def why_failed(lines: Sequence[str], longest: int) -> list[str]:
    """Return at most so many lines on a stage that failed: which tests, and the first traceback.

    Without a failed test, they are the last lines of the output.
    """
    tests = [line for line in lines if _FAILURE.match(line)]
    traceback = first_traceback(lines)
    if not tests and not traceback:
        return list(lines[-min(longest, _LAST_LINES) :])
    named = [*tests[: longest // 3], *([f"... and {more} more"] if (more := len(tests) - longest // 3) > 0 else [])]
    return [*named, *shortened(traceback, longest - len(named))]


def first_traceback(lines: Sequence[str]) -> list[str]:
    """Return the first failure's traceback and the end of what its test wrote; nothing if no test failed."""
    begin = next((at for at, line in enumerate(lines) if _FAILURES.match(line)), len(lines))
    begin = next((at for at in range(begin, len(lines)) if _HEADING.match(lines[at])), len(lines))
    whole = [*lines[begin : begin + 1], *takewhile(lambda line: not _NEXT_PART.match(line), lines[begin + 1 :])]
    at = next((at for at, line in enumerate(whole) if _CAPTURED.match(line)), len(whole))
    return whole[:at] + whole[at:][-_LONGEST_CAPTURED:]


def shortened(lines: Sequence[str], longest: int) -> list[str]:
    """Return the lines, or their first and the last of them: a traceback ends with the error."""
    if len(lines) <= longest:
        return list(lines)
    return [*lines[:1], "...", *lines[len(lines) - max(longest - 2, 1) :]]
