"""The README is a door: short, with the commands that begin, and with links that also read well in an index."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest

from tests.documentation.pages import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_it_is_short_and_has_the_first_commands() -> None:
    assert len(README.splitlines()) <= 130
    for command in ("pip install", "make demo", "make test", "make check", "make docs"):
        assert command in README


def test_in_an_index_files_are_named_where_links_would_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("setuptools", reason="it makes the page")
    given: dict[str, Any] = {}
    monkeypatch.setattr("setuptools.setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    page: str = given["long_description"]
    assert re.findall(r"\]\((?!https?://)[^)]*\)", page) == []
    assert "![" not in page
    assert page.startswith("# ndb_models\n\nThe files that this page names")
    for named in re.findall(r"`((?:docs|examples)/[\w/.]+)`", page):
        assert (ROOT / named).exists(), named
    assert "the server (`docs/server.md`)" in page
