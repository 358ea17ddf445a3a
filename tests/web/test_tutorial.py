"""The tutorial's code is what its reader gets: put together from its parts, it passes the tests that the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "web_tutorial.md").read_text("utf-8")
SECURITY = (ROOT / "docs" / "web_security.md").read_text("utf-8")
PARTS = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL)


def source(name: str) -> str:
    """Return a file as the page shows it: all its parts, in their order."""
    return "\n\n".join(code for file, code in PARTS if file == name)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name in ("shop.py", "test_shop.py"):
        (tmp_path / name).write_text(source(name), "utf-8")
    return tmp_path


def test_every_block_of_python_is_part_of_a_file() -> None:
    assert {name for name, _ in PARTS} == {"greeting.py", "shop.py", "test_shop.py"}
    assert len(PARTS) == PAGE.count("```python\n")


def test_the_ten_lines_are_the_example() -> None:
    _, _, example = (ROOT / "examples" / "greeting.py").read_text("utf-8").partition("\n\n")
    assert source("greeting.py") == example


def test_the_shop_passes_the_tests_that_the_page_shows(shop: Path) -> None:
    plugins = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "ndb_models_pytest")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", *plugins, "test_shop.py"],
        cwd=shop, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{source('test_shop.py').count('def test_')} passed" in done.stdout


def audit(folder: Path, *arguments: str) -> str:
    """Audit an application in a folder, in a process of its own; nothing is broken. Returns what is printed."""
    unset = ("WEB_CONCURRENCY", "SHOP_DEVELOPMENT", "NDB_URI")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ndb_models", "audit", *arguments],
        cwd=folder, env={name: value for name, value in os.environ.items() if name not in unset},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_audit_finds_nothing_broken_in_the_shop(shop: Path) -> None:
    assert audit(shop, "shop:app").startswith("app: UserSession in sqlite:///sessions.db\n")


def test_the_audit_of_the_example_accepts_that_a_remembered_session_lives_for_a_year() -> None:
    arguments = ("shop.app:app", "--accept", "absolute")
    assert f"`ndb-models audit {' '.join(arguments)}`" in SECURITY
    assert "accepted  absolute         absolute end after 365 days" in audit(ROOT / "examples", *arguments)
