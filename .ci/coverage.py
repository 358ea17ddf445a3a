"""Run all tests but the unmeasured, and measure which branches they take, in this process and in those that they start.

`python .ci/coverage.py [arguments of pytest]` fails if a test does, or if fewer branches are taken than `AT_LEAST`.
The report names, for each module, the lines and branches that no test takes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DATA: Final = ROOT / ".coverage"
AT_LEAST: Final = 97.0
"""Percent of all branches."""
TESTS: Final = ("-m", "pytest", "-m", "not unmeasured", "-n", "3", "--dist", "worksteal")


def main() -> int:
    """Measure; return 1 if a test fails or too few branches are taken."""
    shutil.rmtree(DATA, ignore_errors=True)
    status = run(sys.executable, "-W", "error", "-m", "coverage", "run", *TESTS, *sys.argv[1:])
    coverage = (sys.executable, "-m", "coverage")
    report = DATA / "report.json"
    for command in (("combine", "--quiet"), ("report",), ("json", "--quiet", "-o", str(report))):
        if run(*coverage, *command):
            return 1
    totals = json.loads(report.read_text())["totals"]
    taken = 100 * totals["covered_branches"] / totals["num_branches"]
    say(f"{taken:.2f} % of {totals['num_branches']} branches are taken, at least {AT_LEAST} % must be")
    return status or int(taken < AT_LEAST)


def run(*command: str) -> int:
    """Run a command here; return its status."""
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def say(line: str) -> None:
    """Write a line at once, before what a command writes."""
    print(line, flush=True)  # noqa: T201 - what this program is for


if __name__ == "__main__":
    sys.exit(main())
