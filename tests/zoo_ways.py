"""The zoo by every way to reach an engine, where the way adds nothing: all in memory, the telling ones everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import pytest

T = TypeVar("T")

# Their texts are what a way could spoil: large and odd numbers, any characters, bytes, depth, nothing at all.
TELLING: Final = frozenset(
    {
        *("Nothing", "Scalars", "StrictScalars", "Texts", "Integers", "Infinities", "Tree", "Secretive", "OpenNumbers"),
        *("Base64Blobs", "KindsOfTimes", "Cache[UUID, Comment]"),
    }
)


def in_memory_and_some_elsewhere(
    name: str, members: Iterable[T], model_names: Sequence[str], elsewhere: Sequence[str] = ("sqlite", "server")
) -> pytest.MarkDecorator:
    """Parametrize a test that takes `client`: with all members in memory, elsewhere with the first of a telling class.

    Args:
        name: of the test's parameter.
        members: what it may be.
        model_names: the name of each member's class.
        elsewhere: the other ways that the fixture `uri` knows.
    """
    named = list(zip(model_names, members, strict=True))
    telling = {model: member for model, member in reversed(named) if model in TELLING}
    everywhere = [("memory", model, member) for model, member in named]
    everywhere += [(way, model, member) for way in elsewhere for model, member in telling.items()]
    return pytest.mark.parametrize(
        ("uri", name),
        [pytest.param(way, member, id=f"{way}-{model}") for way, model, member in everywhere],
        indirect=["uri"],
    )
