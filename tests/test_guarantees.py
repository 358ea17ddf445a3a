"""The table of guarantees names a test for each cell, and each test runs on the store of that cell."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "concepts" / "guarantees.md").read_text("utf-8")
_NUMBERED = re.compile(r"^(\d+)\. `(tests/[\w/]+\.py::[\w:]+)`$", re.MULTILINE)
TESTS = {int(number): test for number, test in _NUMBERED.findall(PAGE)}

# How the parameters and the names of tests call each column. Behind a port, a store is "served".
COLUMNS = {
    "`memory://`": r"\bmemory\b|test_memory|_name_of_the_parents",
    "`sqlite:///`": r"\bsqlite\b|_sqlite_",
    "`ws://`": r"\bserver\b|\bserved\b|over_a_server",
    "`redis://`": r"\bredis\b|_redis\.py|redis_driver",
    "NemesisDB": r"nemesis",
}
# They make their own servers, by no parameter: through a port, and on what answers as a NemesisDB does.
BY_THEMSELVES = {
    "test_past_its_absolute_end_a_session_has_expired_however_much_it_was_used": "server",
    "test_lost_answers_lose_no_addition_and_make_none_twice": "server",
    "test_a_refused_write_leaves_no_session_behind": "nemesisdb",
    "test_a_session_that_has_expired_and_was_not_swept_has_expired": "nemesisdb",
    "test_a_restart_goes_unnoticed_by_what_can_be_repeated_and_failures_tell_the_truth": "nemesisdb",
}


def cells() -> list[tuple[str, str, list[int]]]:
    """Return each cell that is not a dash, as its column, its row, and its numbers."""
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line[:2] == "| "]
    (_, *stores), _, *rows = lines
    assert stores == [*COLUMNS]
    found = []
    for guarantee, *verdicts in rows:
        assert len(verdicts) == len(stores), guarantee
        for store, verdict in zip(stores, verdicts, strict=True):
            if verdict.strip(" |") != "-":
                found.append((store, guarantee, numbers(verdict)))
    return found


def numbers(verdict: str) -> list[int]:
    return [int(number) for listed in re.findall(r"\[([\d, ]+)\]", verdict) for number in listed.split(",")]


def test_each_cell_has_a_test_and_each_test_a_cell() -> None:
    assert all(named for _, _, named in cells())
    assert {number for _, _, named in cells() for number in named} == {*TESTS}
    assert all(after == before + 1 for before, after in pairwise([0, *TESTS]))


@pytest.mark.slow
def test_each_test_runs_on_the_store_of_its_cell() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *TESTS.values()]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    collected = [line for line in done.stdout.splitlines() if "::" in line]
    for store, row, named in cells():
        for test in (TESTS[number] for number in named):
            ways = [line for line in collected if line.partition("[")[0] == test]
            assert ways, f"pytest does not collect {test}"
            said = BY_THEMSELVES.get(test.rpartition("::")[2], "")
            assert any(re.search(COLUMNS[store], f"{way} {said}") for way in ways), f"{store}, {row}: {test}"
