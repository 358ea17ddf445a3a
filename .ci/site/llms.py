"""The documentation for language models: `llms.txt`, an index, and `llms-full.txt`, all pages as one text.

Each page of the navigation is written as Markdown beside its HTML too, and the index leads there. In the pages of the
reference, the docstrings stand in the place of their directives.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page

_DIRECTIVE: Final = re.compile(r"^::: ([\w.]+)\n(?:    .*\n)*", re.MULTILINE)
_COMMENT: Final = re.compile(r"^<!-- .*? -->\n\n?", re.MULTILINE)
_LAYOUT: Final = re.compile(r"^</?div[^>]*>\n\n?", re.MULTILINE)
_MARKUP: Final = re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])|[*]{2}|\{#[^}]*\}")
_nav: list[Navigation] = []


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> None:
    """Keep the navigation, whose order the index has."""
    _nav[:] = [nav]


def on_post_build(config: MkDocsConfig) -> None:
    """Write the texts."""
    site = Path(config.site_dir)
    index = [f"# {config.site_name}\n\n> {config.site_description}\n"]
    full = []
    for heading, pages in sections(_nav[0]):
        index.append(f"\n## {heading}\n\n")
        for page in pages:
            text = as_text(page.markdown or "")
            (site / page.file.src_uri).write_text(text, "utf-8")
            index.append(f"- [{page.title}]({page.file.src_uri}): {summary(text)}\n")
            full.append(f"<!-- {page.file.src_uri} -->\n\n{text.strip()}\n")
    (site / "llms.txt").write_text("".join(index), "utf-8")
    (site / "llms-full.txt").write_text("\n".join(full), "utf-8")


def sections(nav: Navigation) -> Iterator[tuple[str, list[Page]]]:
    """Yield the sections at the top with their pages, at any depth; a page that is in none stands by itself."""
    for item in nav.items:
        yield item.title or "", list(pages_in(item))


def pages_in(item: object) -> Iterator[Page]:
    """Yield the pages of an item of the navigation."""
    if isinstance(item, Page):
        yield item
    elif isinstance(item, Section):
        for child in item.children:
            yield from pages_in(child)


def as_text(markdown: str) -> str:
    """Return a page without comments and layout, and with docstrings in the place of directives."""
    return _DIRECTIVE.sub(described, _LAYOUT.sub("", _COMMENT.sub("", markdown)))


def described(directive: re.Match[str]) -> str:
    """Return the docstrings of a public name and of its own members as Markdown."""
    name = directive[1]
    module, _, last = name.rpartition(".")
    item = getattr(import_module(module), last) if module else import_module(name)
    parts = [f"## {name}{signature(item)}\n\n{inspect.getdoc(item) or ''}\n"]
    if inspect.isclass(item):
        for member, value in inspect.getmembers_static(item):
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if member.startswith("_") or not (getattr(function, "__module__", None) or "").startswith("ndb_models"):
                continue
            parts.append(f"### {last}.{member}{signature(function)}\n\n{inspect.getdoc(function) or ''}\n")
    return "\n".join(parts)


def signature(item: object) -> str:
    """Return the parameters of a function or class; nothing for others."""
    if not callable(item) or (inspect.isclass(item) and issubclass(item, Exception)):
        return ""
    try:
        return str(inspect.signature(item))
    except (TypeError, ValueError):
        return ""


def summary(text: str) -> str:
    """Return the first sentence of a page, as plain text."""
    blocks = re.sub(r"^(?:---\n.*?\n---\n|```.*?^```$)", "", text, flags=re.DOTALL | re.MULTILINE).split("\n\n")
    first = next((block for block in blocks if re.match(r"[\w`*\[]", block.strip())), "")
    plain = _MARKUP.sub(r"\1", " ".join(first.split()))
    return re.split(r"(?<=[.:?!]) ", plain)[0].rstrip(":") or "see the page."
