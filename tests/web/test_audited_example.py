"""The audit accepts what the pages say that it accepts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
SECURITY = (ROOT / "docs" / "web_security.md").read_text("utf-8")


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


def test_the_audit_of_the_example_accepts_that_a_remembered_session_lives_for_a_year() -> None:
    arguments = ("shop.app:app", "--accept", "absolute")
    assert f"`ndb-models audit {' '.join(arguments)}`" in SECURITY
    assert "accepted  absolute         absolute end after 365 days" in audit(ROOT / "examples", *arguments)
