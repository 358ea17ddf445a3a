"""What CI says at its end: which tests failed, how the first one did, and how many there were."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def verdicts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verdicts", ROOT / ".ci" / "verdicts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What pytest writes of two tests that fail, one that passes, and one whose fixture fails."""
    program = (
        "import pytest\n"
        "@pytest.fixture\ndef broken(): raise LookupError('no fixture')\n"
        "def test_of_broken(broken): pass\n"
        "def test_that_passes(): pass\n"
        "def inner(wanted): assert wanted == 'pears'\n"
        "def test_of_fruit():\n    print('one line\\n' * 500)\n    inner('apples')\n"
        "def test_of_numbers(): assert 1 == 2\n"
    )
    folder = tmp_path_factory.mktemp("failing")
    (folder / "test_failing.py").write_text(program)
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "test_failing.py"]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout.splitlines()


def test_tests_are_counted_over_all_runs(verdicts: ModuleType, output: list[str]) -> None:
    quiet = ["22231 passed, 3 skipped, 2 deselected in 290.12s (0:04:50)"]
    assert verdicts.counted(output) == (1, 3)
    assert verdicts.counted(output + quiet) == (22232, 3)
    assert verdicts.counted(["3 passed in spite of all"]) == (0, 0)


def test_each_failed_test_is_named_and_the_first_traceback_shown(verdicts: ModuleType, output: list[str]) -> None:
    told = verdicts.why_failed(output, 60)
    assert len(told) <= 60
    assert [line.split(" - ")[0] for line in told[:3]] == [
        "ERROR test_failing.py::test_of_broken",
        "FAILED test_failing.py::test_of_fruit",
        "FAILED test_failing.py::test_of_numbers",
    ]
    assert "LookupError: no fixture" in "\n".join(told[3:])


def test_the_error_is_told_in_spite_of_long_output(verdicts: ModuleType, output: list[str]) -> None:
    of_fruit = output[next(at for at, line in enumerate(output) if "= FAILURES =" in line) :]
    for longest in (60, 20):
        told = verdicts.why_failed(of_fruit, longest)
        assert len(told) <= longest
        assert any(line.startswith("E ") and "pears" in line for line in told)


def test_many_failures_leave_room_for_the_traceback(verdicts: ModuleType, output: list[str]) -> None:
    many = [*output, *[f"FAILED tests/test_more.py::test_{number}" for number in range(500)]]
    told = verdicts.why_failed(many, 60)
    assert len(told) <= 60
    assert "... and 483 more" in told
    assert "LookupError: no fixture" in "\n".join(told)


def test_of_a_stage_without_tests_the_last_lines_are_told(verdicts: ModuleType) -> None:
    lines = [f"line {number}" for number in range(100)]
    assert verdicts.why_failed(lines, 60) == lines[-30:]
    assert verdicts.why_failed(lines, 10) == lines[-10:]
