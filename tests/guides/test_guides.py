"""The guides can be followed to the letter: each file, each command, and each output of each page is tried."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.guides.pages import GUIDES, ROOT, Block, blocks, commands, steps
from tests.guides.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

OTHERS = [guide for guide in GUIDES if guide.parent.name != "tutorial"]
EXAMPLES = {path.name: path for folder in ("examples", "examples/tutorial") for path in (ROOT / folder).glob("*.py")}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
ELLIPSIS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def assert_prints(expected: str, printed: str) -> None:
    """Compare an output with a page's. Three dots in the page stand for any text."""
    assert doctest.OutputChecker().check_output(expected, printed, ELLIPSIS), f"expected:\n{expected}\ngot:\n{printed}"


def type_in(shell: Shell, block: Block) -> None:
    """Type in the commands of a console. One that fails has to show on the page what it says."""
    for command in commands(block):
        if command.line.startswith(("pip install", "python -m venv", ". ", "docker", "mkdir -p examples")):
            continue
        program = command.line.split()[0]
        if program in ("curl", "openssl") and shutil.which(program) is None:
            pytest.skip(f"needs {program}")
        status, printed = shell.run(command.line)
        if command.output.strip():
            assert_prints(command.output, printed)
        else:
            assert status == 0, f"{command.line}\n{printed}"


def program_of(found: list[Block]) -> str:
    """Return the blocks of a page that belong to no file: they are one program."""
    return "\n".join(block.text for block in found if block.kind == "python" and block.title is None)


def follow(guide: Path, shell: Shell) -> int:
    """Do all that a page says, in its order. Blocks of no file are one program; it is run last.

    Returns the number of commands and programs that were run.
    """
    found = [
        block
        for block in blocks(guide)
        if not block.not_run and (block.needs is None or importlib.util.find_spec(block.needs))
    ]
    if any("127.0.0.1:6379" in block.text for block in found):
        shell.start_redis()
    files: dict[str, str] = {}
    for block in found:
        if block.title is not None:  # the second block of a name is how the file goes on
            files[block.title] = "\n\n".join(filter(None, [files.get(block.title), block.text]))
            shell.write(block.title, files[block.title])
        elif block.kind == "console":
            type_in(shell, block)
    if program := program_of(found):
        shell.write("program_of_the_page.py", program)
        status, printed = shell.run("python program_of_the_page.py")
        assert status == 0, printed
        assert_prints("".join(block.text for block in found if block.kind == "text"), printed)
    return sum(len(commands(block)) for block in found if block.kind == "console") + bool(program)


def test_the_tutorial_can_be_followed_from_its_first_page_to_its_last(tmp_path: Path) -> None:
    assert {*steps()} == {guide for guide in GUIDES if guide.parent.name == "tutorial" and guide.stem != "index"}
    with Shell(tmp_path) as shell:
        for guide in steps():
            assert follow(guide, shell), f"{guide.name} has nothing to run"


@pytest.mark.parametrize("guide", OTHERS, ids=lambda guide: guide.stem)
def test_a_page_can_be_followed(guide: Path, tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        run = follow(guide, shell)
    assert run or any(block.needs for block in blocks(guide)), f"{guide.name} has nothing to run"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: f"{guide.parent.name}/{guide.stem}")
def test_a_file_that_is_an_example_has_the_same_text(guide: Path) -> None:
    shown = [block for block in blocks(guide) if block.title and block.title.endswith(".py")]
    for block in shown:
        if block.title in EXAMPLES:
            assert block.text == EXAMPLES[block.title].read_text("utf-8"), block.title
    if guide.parent.name == "tutorial" and guide.stem != "index":
        assert any(block.title in EXAMPLES for block in shown)


def test_each_example_of_the_tutorial_is_on_a_page() -> None:
    shown = {block.title for guide in GUIDES for block in blocks(guide)}
    assert {path.name for path in (ROOT / "examples" / "tutorial").glob("*.py")} <= shown


def test_each_extra_that_a_page_installs_is_there() -> None:
    for guide in GUIDES:
        for named in re.findall(r"ndb_models\[([\w,]+)\]", guide.read_text("utf-8")):
            assert set(named.split(",")) <= EXTRAS.keys(), f"{guide.name}: {named}"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: f"{guide.parent.name}/{guide.stem}")
def test_a_page_says_where_it_leads(guide: Path) -> None:
    text = guide.read_text("utf-8")
    assert "**At the end**" in text or guide.stem == "index", "the first paragraph says what the reader will have"
    assert "## Next" in text or guide.stem == "index"
