"""What pyproject.toml cannot say: the page of a package index is README.md without links that only work beside it."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup

NOTE = "The files that this page names, such as `docs/server.md`, are in the source distribution."
PICTURE = re.compile(r"^!\[[^\]]*\]\((?!https?://)[^)]*\)\n\n", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)([^)#]*)[^)]*\)")


def index_page(readme: str) -> str:
    """Return a README in which the path of a file stands in the place of a link to it, without its pictures."""
    title, _, rest = LINK.sub(r"\1 (`\2`)", PICTURE.sub("", readme)).partition("\n\n")
    return f"{title}\n\n{NOTE}\n\n{rest}"


setup(
    long_description=index_page(Path(__file__).with_name("README.md").read_text("utf-8")),
    long_description_content_type="text/markdown",
)
