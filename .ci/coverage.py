"""Run the tests, and measure which branches of the package they take, in this process and in those that they start.

`python .ci/coverage.py [arguments of pytest]` fails if a test does, or if fewer branches are taken than `AT_LEAST`. It
names the modules with lines and branches that no test takes, and writes all of them to `.coverage/report.txt`. Tests
that are marked `unmeasured` are left out: `make rest` and `make fuzz` run them.

CPython 3.11 leaves out events for a coroutine that an exception is thrown into, so that some branches are not seen:
https://github.com/coveragepy/coveragepy/issues/2124. There the percentage is a little too small, never too large.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
DATA: Final = ROOT / ".coverage"
REPORT: Final = DATA / "report.txt"
AT_LEAST: Final = 97.0
"""Percent of all branches."""
LONGEST_LIST: Final = 25
LONGEST_LINE: Final = 200
"""Modules that are named where too few branches are taken, and characters of what is said of each."""

COVERAGE: Final = ("-m", "coverage")
TESTS: Final = ("run", "-m", "pytest", "-m", "not unmeasured")


def main() -> int:
    """Measure; return 1 if a test fails or too few branches are taken."""
    shutil.rmtree(DATA, ignore_errors=True)
    status = run("-W", "error", *COVERAGE, *TESTS, *sys.argv[1:])
    as_json = DATA / "report.json"
    if run(*COVERAGE, "combine", "--quiet") or run(*COVERAGE, "json", "--quiet", "-o", str(as_json)):
        return 1
    report = json.loads(as_json.read_text())
    totals = report["totals"]
    taken = 100 * totals["covered_branches"] / totals["num_branches"]
    modules = [line for _, line in sorted(map(line_of, report["files"].items()))]
    REPORT.write_text("".join(f"{line}\n" for line in modules if line))
    if taken < AT_LEAST:
        for line in modules[:LONGEST_LIST]:
            say(line[:LONGEST_LINE])
    say(f"{taken:.2f} % of {totals['num_branches']} branches are taken, at least {AT_LEAST} % must be")
    say(f"{REPORT.relative_to(ROOT)} lists the others")
    return status or int(taken < AT_LEAST)


def line_of(module: tuple[str, Any]) -> tuple[int, str]:
    """Return a line on a module, after a number that puts those with the most missing branches first."""
    name, measured = module
    branches = [f"{start}->{end if end > 0 else 'exit'}" for start, end in measured["missing_branches"]]
    if not branches and not measured["missing_lines"]:
        return 0, ""
    lines = [str(line) for line in measured["missing_lines"]]
    return -len(branches), f"{name}: branches {', '.join(branches) or 'none'}; lines {', '.join(lines) or 'none'}"


def run(*arguments: str) -> int:
    """Run this Python here with some arguments; return its status."""
    return subprocess.run((sys.executable, *arguments), cwd=ROOT, check=False).returncode


def say(line: str) -> None:
    """Write a line at once, before what a command writes."""
    print(line, flush=True)  # noqa: T201 - what this program is for


if __name__ == "__main__":
    sys.exit(main())
