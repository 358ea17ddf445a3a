"""Pages of the site for files outside of docs/, so that links to them work in the site and in a repository both.

`../examples/cart.py` is the page `source/examples/cart.py.md`, with the file as a block of code; a folder is a list of
its files. `CHANGELOG.md` is the page `changelog.md`, and `README.md` the home page.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[2]
LINK: Final = re.compile(r"(\]\()(?!https?://|#)([^)\s#]+)(#[^)\s]*)?(\))")
PAGES: Final = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
LANGUAGES: Final = {
    ".py": "python",
    ".json": "json",
    ".ipynb": "json",
    ".html": "html",
    ".css": "css",
    ".sh": "console",
}
SHOWN: Final = (*LANGUAGES, ".md", ".service", "Dockerfile")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for the changelog, and for each file or folder that a page links to outside of docs/."""
    files.append(File.generated(config, "changelog.md", content=(ROOT / "CHANGELOG.md").read_text("utf-8")))
    linked = {path for file in files.documentation_pages() for path in outside_links(file)}
    while linked:
        path = linked.pop()
        page = page_of(path)
        if not files.get_file_from_path(page):
            files.append(File.generated(config, page, content=shown(ROOT / path)))
            if (ROOT / path).is_dir():
                linked |= {each.relative_to(ROOT).as_posix() for each in listed(ROOT / path)}
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files outside of docs/ into links to their pages."""

    def turned(link: re.Match[str]) -> str:
        before, target, anchor, after = link.groups(default="")
        path = in_repository(page.file.src_uri, target)
        if inside := path.startswith("docs/"):
            path = path.removeprefix("docs/")
        elif (ROOT / path).exists():
            path, inside = page_of(path), True
        if not inside:
            return link[0]
        return f"{before}{posixpath.relpath(path, posixpath.dirname(page.file.src_uri) or '.')}{anchor}{after}"

    return LINK.sub(turned, markdown)


def outside_links(file: File) -> set[str]:
    """Return the paths outside of docs/, from the root of the repository, that a page links to."""
    paths = {in_repository(file.src_uri, target) for _, target, _, _ in LINK.findall(file.content_string)}
    return {path for path in paths if not path.startswith("docs/") and (ROOT / path).exists()} - PAGES.keys()


def in_repository(page: str, target: str) -> str:
    """Return where a link of a page leads, as a path from the root of the repository."""
    if page.startswith("source/"):
        folder = posixpath.dirname(page.removeprefix("source/"))
    else:
        folder = "" if page == PAGES["CHANGELOG.md"] else posixpath.join("docs", posixpath.dirname(page))
    return posixpath.normpath(posixpath.join(folder, target))


def page_of(path: str) -> str:
    """Return the page of a file, or of a folder, outside of docs/."""
    return PAGES.get(path) or f"source/{path}{'/index' if (ROOT / path).is_dir() else ''}.md"


def listed(folder: Path) -> list[Path]:
    """Return the files in a folder that have a page, and the folders that have such files."""
    return [each for each in sorted(folder.iterdir()) if (listed(each) if each.is_dir() else each.name.endswith(SHOWN))]


def shown(path: Path) -> str:
    """Return the page of a file, or of a folder."""
    title = f"---\nsearch:\n  exclude: true\n---\n\n# {path.relative_to(ROOT).as_posix()}\n\n"
    if path.is_dir():
        return title + "".join(f"- [{each.name}]({each.name})\n" for each in listed(path))
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        return text
    return f"{title}````````{LANGUAGES.get(path.suffix, 'text')}\n{text}````````\n"
