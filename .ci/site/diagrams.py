"""Diagrams that follow the colours of the page: an SVG with `--diagram` variables becomes part of its page."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

IMAGE: Final = re.compile(r'<img alt="([^"]*)" src="([^"]+\.svg)"[^>]*/?>')


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put diagrams into the page. Their text alternative stays, and stands in no attribute of theirs."""

    def inlined(image: re.Match[str]) -> str:
        alternative, source = image.groups()
        file = files.get_file_from_path(
            posixpath.normpath(posixpath.join(posixpath.dirname(page.file.dest_uri), source))
        )
        if file is None or "var(--diagram" not in file.content_string:
            return image[0]
        drawing = re.sub(r"^.*?<svg\b", "<svg", file.content_string, count=1, flags=re.DOTALL)
        return f'<span class="diagram" role="img" aria-label="{alternative}">{drawing.strip()}</span>'

    return IMAGE.sub(inlined, html)
