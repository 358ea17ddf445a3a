"""What MkDocs does not check: links of the README, and that no page loads anything from another host."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

ROOT: Final = Path(__file__).resolve().parents[2]
LOADED: Final = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon)[^>]*\bhref=["']?(?:https?:)?//[^>]*>"""
    r"""|@import[^;]*//[^;]*;|\burl\(["']?(?:https?:)?//[^)]*\)|class=["']?mermaid""",
)

log = logging.getLogger("mkdocs.hooks.checks")


def on_env(env: object, config: MkDocsConfig, files: Files) -> None:
    """Check that each link of the README leads to a file, and to a heading that its page in the site has."""
    for target, anchor in re.findall(
        r"\]\((?!https?://)([^)\s#]*)#?([^)\s]*)\)", (ROOT / "README.md").read_text("utf-8")
    ):
        if target and not (ROOT / target).exists():
            log.warning("README.md links to %s, which does not exist", target)
        file = files.get_file_from_path(target.removeprefix("docs/"))
        if anchor and target and (not file or not file.page or anchor not in (file.page.present_anchor_ids or ())):
            log.warning("README.md links to %s#%s, and there is no such heading", target, anchor)


def on_post_build(config: MkDocsConfig) -> None:
    """Check that the pages load nothing from another host."""
    for path in sorted(Path(config.site_dir).rglob("*.html")):
        for loaded in LOADED.findall(path.read_text("utf-8")):
            log.warning("%s loads from another host: %s", path.name, loaded)
