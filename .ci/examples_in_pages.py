"""Copies the files of `examples/` into the pages of the guides that show them.

A page shows a file in a block with its name: ```python title="first_session.py". Run this after a change of an example.
`tests/guides` fails while a page and its file differ.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("tutorial", "how_to", "coming_from")
EXAMPLES = {path.name: path for folder in ("examples", "examples/tutorial") for path in (ROOT / folder).glob("*.py")}
SHOWN = re.compile(r"^```python title=\"(?P<name>[\w.]+)\"\n.*?^```$", re.DOTALL | re.MULTILINE)


def shown(found: re.Match[str]) -> str:
    """Return the block of a file, with the text that the file has now."""
    name = found["name"]
    if name not in EXAMPLES:
        return found[0]
    return f'```python title="{name}"\n{EXAMPLES[name].read_text("utf-8")}```'


for page in (page for folder in FOLDERS for page in (ROOT / "docs" / folder).glob("*.md")):
    text = page.read_text("utf-8")
    if (new := SHOWN.sub(shown, text)) != text:
        page.write_text(new, "utf-8")
        print(page.relative_to(ROOT))  # noqa: T201 - what it did
