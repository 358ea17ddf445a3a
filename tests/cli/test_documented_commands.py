"""Every example of docs/cli.md does what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.main import get_command

from ndb_models.cli.commands import Group
from ndb_models.cli.tree import make_tree
from tests.cli.forking import forking

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text("utf-8")
GUARD = 300

# What differs from run to run: tokens, public ids, times, and the size of a file.
CHANGING = (
    (re.compile(r"\.\.\.\d{4}"), "...TKN"),
    (re.compile(r"(?<![\w-])[\w-]{22}(?![\w-])"), "PUBLIC-ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "MOMENT"),
    (re.compile(r"(\d+ min )?\d+ s ago"), "AGO"),
    (re.compile(r"\d+ min( \d+ s)?|\d+ s(?= )"), "LEFT"),
    (re.compile(r'"remaining": \d+'), '"remaining": N'),
    (re.compile(r"\d+ bytes"), "N bytes"),
    (re.compile(r"ndb_models/\S+"), "VERSION"),
    (re.compile(r"sessions\.db is on tmpfs: .*"), ""),  # where the tests keep their files in memory
    (re.compile(r" +"), " "),
)

FILL = """
import asyncio
from ndb_models import NdbClient, Repository
from shop import UserSession

async def main():
    async with NdbClient.connect("sqlite:///sessions.db") as client:
        shop = Repository(client, UserSession)
        await shop.save(UserSession(user_id=7, device="phone", email="billy@example.org", cart={"apple": 1}))
        await shop.save(UserSession(user_id=7, device="laptop", email="billy@example.org", api_key="hunter2"))
        await shop.save(UserSession(user_id=8, device="tablet", email="anna@example.org"))
        await client.kv_set({"limits": {"upload": 10}})

asyncio.run(main())
"""


class Example(NamedTuple):
    """A command of the page, and what the page says that it prints."""

    line: str
    printed: str


def examples() -> Iterator[Example]:
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, printed = part.partition("\n")
            yield Example(line, printed)


def settled(text: str) -> str:
    """Return a text with all that changes from run to run replaced, and rows in one order."""
    for pattern, name in CHANGING:
        text = pattern.sub(name, text)
    return "\n".join(sorted(line.strip() for line in text.splitlines()))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (model,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "shop.py").write_text(model, "utf-8")
    (tmp_path / "bin").mkdir()
    with forking(tmp_path / "bin"):
        yield tmp_path


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("jq") is None, reason="the examples are for jq")
def test_every_example_does_what_the_page_says(folder: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NDB_")}
    environment = {
        **inherited,
        "PATH": f"{folder / 'bin'}{os.pathsep}{inherited['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
    }
    subprocess.run([sys.executable, "-c", FILL], cwd=folder, env=environment, timeout=GUARD, check=True)
    said, found = [], []
    for example in examples():
        if example.line.startswith("export "):
            name, _, value = example.line.removeprefix("export ").partition("=")
            environment[name] = value
        elif not example.line.startswith("pip "):
            said.append((example.line, settled(example.printed)))
            found.append((example.line, settled(printed_by(example.line, folder, environment))))
    assert found == said
    assert len(said) > 20


def printed_by(line: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Return what a command line prints on either stream."""
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_command_has_an_example_or_a_link() -> None:
    shown = {example.line for example in examples()}
    tree = get_command(make_tree())
    assert isinstance(tree, Group)
    for name, command in tree.commands.items():
        names = [f"{name} {each}" for each in command.commands] if isinstance(command, Group) else [name]
        for each in names:
            has_example = any(f"ndb-models {each}" in line for line in shown)
            is_in_table = re.search(rf"^\| .*`{each.split()[-1]}`.*\]\(", PAGE, re.MULTILINE) is not None
            assert has_example or is_in_table or f"`{each}`" in PAGE, each


def test_every_status_is_named_with_its_meaning() -> None:
    for status in ("0", "1", "2", "130", "141"):
        assert re.search(rf"^\| {status} \|", PAGE, re.MULTILINE)
