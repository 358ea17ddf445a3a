"""Another form of a class in the same process, as another program has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ndb_models import SessionModel

M = TypeVar("M", bound=SessionModel)


def in_place_of(model: type[SessionModel]) -> Callable[[type[M]], type[M]]:
    """Return a decorator that gives a class the module and the qualified name of another: it is that one, reloaded."""

    def named(other: type[M]) -> type[M]:
        other.__module__, other.__qualname__ = model.__module__, model.__qualname__
        return other

    return named
