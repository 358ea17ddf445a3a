"""Every block of Python in the documentation runs, but the few that say why they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.documentation.names_of_pages import NAMES
from tests.documentation.pages import ROOT, Block, blocks_of, name_of, pages

# Pages with a test of their own, which does more: it sends requests, runs checkers, or types commands in.
ELSEWHERE = {
    "configuration.md": "tests/test_examples.py",
    "hooks.md": "tests/test_examples.py",
    "lookup.md": "tests/test_examples.py",
    "synchronous.md": "tests/test_examples.py",
    "testing.md": "tests/testing/test_plugin.py",
    "typing.md": "tests/typing/test_checkers.py",
    "versions.md": "tests/test_examples.py",
    "web_moving_in.md": "tests/web/test_moving_page.py",
}
# The address of a server on one's own machine, and an engine that answers as it does.
IN_THIS_PROCESS = ("ws://127.0.0.1:1987/", "memory://server")
# tests/guides follows these from the first line to the last.
GUIDES = ("tutorial/", "how_to/", "coming_from/")
WITH_CODE = {name_of(page): page for page in pages() if any(block.kind == "python" for block in blocks_of(page))}
HERE = {name: page for name, page in WITH_CODE.items() if name not in ELSEWHERE and not name.startswith(GUIDES)}


def not_run() -> dict[str, list[str]]:
    """Return the reasons for which blocks are not run, by page."""
    reasons = {name: [block.reason for block in blocks_of(page) if block.reason] for name, page in WITH_CODE.items()}
    return {name: each for name, each in reasons.items() if each}


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    assert sum(len(reasons) for reasons in not_run().values()) <= 6
    assert all(len(reason.split()) >= 3 for reasons in not_run().values() for reason in reasons)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_page_that_is_run_elsewhere_is_read_there(name: str) -> None:
    if name in WITH_CODE:
        assert name in (ROOT / ELSEWHERE[name]).read_text("utf-8")


def test_the_guides_have_their_test() -> None:
    assert (ROOT / "tests" / "guides").exists() or not any(name.startswith(GUIDES) for name in WITH_CODE)


def printed_below_code(blocks: list[Block]) -> str:
    """Return the texts that stand right below blocks of Python: what these print."""
    pairs = pairwise(blocks)
    return "".join(below.text for block, below in pairs if (block.kind, below.kind) == ("python", "text"))


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(name: str, tmp_path: Path) -> None:
    blocks = blocks_of(HERE[name])
    before = NAMES.get(name, {})
    code = [
        f"{before.get(number, '')}\n{block.text.replace(*IN_THIS_PROCESS)}"
        for number, block in enumerate((block for block in blocks if block.kind == "python"), 1)
        if not block.reason
    ]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.documentation.page_runner", name],
        input=json.dumps(code), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed_below_code(blocks)
