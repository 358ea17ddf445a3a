"""The public address of the site, for MkDocs: the one that errors name."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig

from ndb_models.error_root import ERRORS_PAGE


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the address of the site from the package; while it is a folder of the sources, the site has none."""
    if ERRORS_PAGE.startswith("https://"):
        config.site_url = f"{ERRORS_PAGE.rpartition('/')[0]}/"
    return config
