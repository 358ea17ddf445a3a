"""The audit accepts what the pages say that it accepts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ndb_models.cli.main import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
SECURITY = (ROOT / "docs" / "web_security.md").read_text("utf-8")


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Audit an application in a folder; nothing is broken. Returns what is printed."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for variable in ("WEB_CONCURRENCY", "SHOP_DEVELOPMENT", "NDB_URI"):
        monkeypatch.delenv(variable, raising=False)

    def run(folder: Path, *arguments: str) -> str:
        monkeypatch.chdir(folder)
        status = main(["audit", *arguments])
        printed = capsys.readouterr().out
        assert status == 0, printed
        return printed

    yield run
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def test_the_audit_of_the_example_accepts_that_a_remembered_session_lives_for_a_year(audit: Callable[..., str]) -> None:
    arguments = ("shop.app:app", "--accept", "absolute")
    assert f"`ndb-models audit {' '.join(arguments)}`" in SECURITY
    assert "accepted  absolute         absolute end after 365 days" in audit(ROOT / "examples", *arguments)
