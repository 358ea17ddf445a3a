"""A page of the guides as a reader follows it: files to write, commands to type, and what they print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
GUIDES = [
    page for folder in ("tutorial", "how_to", "coming_from") for page in sorted((ROOT / "docs" / folder).glob("*.md"))
]
STEP = re.compile(r"^\| \[\d\. [^\]]+\]\((\w+\.md)\)", re.MULTILINE)
FENCE = re.compile(
    r"^(?:<!-- (?P<mark>not run|needs): (?P<word>[^\n]+) -->\n)?"
    r"```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block. Its mark says that it is not run, or which module it needs to run."""

    kind: str
    title: str | None
    text: str
    not_run: bool
    needs: str | None


@dataclass(frozen=True)
class Command:
    """A line after a dollar sign, and the output below it."""

    line: str
    output: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    return [
        Block(
            kind=found["kind"],
            title=found["title"],
            text=found["text"],
            not_run=found["mark"] == "not run",
            needs=found["word"] if found["mark"] == "needs" else None,
        )
        for found in FENCE.finditer(page.read_text("utf-8"))
    ]


def commands(block: Block) -> list[Command]:
    """Return the commands of a console. One that ends in a backslash goes on in the next line."""
    parts = re.split(r"^\$ ", block.text.replace("\\\n", ""), flags=re.MULTILINE)
    return [Command(line, output) for line, _, output in (part.partition("\n") for part in parts[1:])]


def steps() -> list[Path]:
    """Return the pages of the tutorial in the order of its index."""
    index = ROOT / "docs" / "tutorial" / "index.md"
    return [
        index.parent / name
        for name in re.findall(r"^\| \[\d\. [^\]]+\]\((\w+\.md)\)", index.read_text("utf-8"), re.MULTILINE)
    ]
