"""Loads the fixtures where the package is not installed, as in a source tree: `pytest -p ndb_models.testing.plugin`."""

from __future__ import annotations

pytest_plugins: tuple[str, ...] = ("ndb_models_pytest",)
"""The plugin itself. It stands beside the package: pytest imports it at each start, and it imports the package last."""
