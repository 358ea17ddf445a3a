"""The zoo by each way to reach an engine: all models in memory, a telling dozen everywhere.

What a model becomes is the same on every way, so the whole zoo is tested without one, in `tests/schema`. A way could
spoil texts: large and odd numbers, any characters, bytes, depth, nothing at all. The telling models have those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from ndb_models import SessionModel
from tests.zoo import ZOO

TELLING: Final = frozenset(
    {
        *("Nothing", "Scalars", "StrictScalars", "Texts", "Integers", "Infinities", "Tree", "Secretive", "OpenNumbers"),
        *("Base64Blobs", "KindsOfTimes", "Cache[UUID, Comment]"),
    }
)
"""Names of model classes."""

INSTANCES: Final = [instance for _, instances in ZOO for instance in instances]


def names(models: Sequence[SessionModel]) -> list[str]:
    """Return the name of each model's class, to name a test by."""
    return [type(model).__name__ for model in models]


def all_here_some_there(here: str, there: Sequence[str], models: Sequence[SessionModel]) -> pytest.MarkDecorator:
    """Parametrize a test that takes `uri`, or a fixture that does, and `model`.

    Args:
        here: the way that all models go.
        there: the ways that only the last instance of each telling class goes.
        models: instances of session models.
    """
    telling = {name: model for name, model in zip(names(models), models, strict=True) if name in TELLING}
    cases = [(here, model) for model in models] + [(way, model) for way in there for model in telling.values()]
    return pytest.mark.parametrize(
        ("uri", "model"),
        [pytest.param(way, model, id=f"{way}-{type(model).__name__}") for way, model in cases],
        indirect=["uri"],
    )
