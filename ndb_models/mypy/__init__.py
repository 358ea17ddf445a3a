"""A plugin for mypy: it checks fields and values that verbs take by keyword, and class keywords. See docs/typing.md.

    [mypy]
    plugins = pydantic.mypy, ndb_models.mypy

Its errors have the codes `ndb-field`, `ndb-value` and `ndb-keyword`. Needs the extra `mypy`.
"""

from __future__ import annotations

try:
    # The first module of mypy to be imported, or its cycles of imports break.
    import mypy.types  # noqa: F401 # pyright: ignore[reportUnusedImport]
    from mypy.plugin import Plugin
except ImportError as _missing:
    raise ImportError("ndb_models.mypy needs mypy: pip install 'ndb_models[mypy]'") from _missing

from ndb_models.mypy.plugin import NdbModelsPlugin

__all__ = ["plugin"]


def plugin(version: str) -> type[Plugin]:
    """Return the plugin, for mypy of any version."""
    return NdbModelsPlugin
