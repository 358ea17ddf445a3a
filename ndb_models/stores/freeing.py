"""Frees memory in turns: to free a dictionary of a million entries at once would block a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ndb_models.turns import Work

_TOGETHER: Final = 256

Trash: TypeAlias = dict[Any, Any] | list[Any]


def freeing(trash: Trash, take_leave: Callable[[Any], None] | None = None) -> Work[None]:
    """Empty a container that is no longer used; `take_leave` gets each of its items."""
    take: Callable[[], Any] = trash.popitem if isinstance(trash, dict) else trash.pop
    while trash:
        for _ in range(min(_TOGETHER, len(trash))):
            item = take()
            if take_leave is not None:
                take_leave(item)
        yield
