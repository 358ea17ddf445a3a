"""Frees memory in turns: to free a dictionary of a million entries at once would block a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ndb_models.turns import Work, in_turns

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


# Tasks are held here, because the event loop does not hold them.
_freeing: Final[set[asyncio.Task[None]]] = set()


def free_later(trash: Trash) -> None:
    """Empty an unused container in turns of the running event loop; without a loop, at once."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # no loop runs in this thread
        trash.clear()
        return
    task = loop.create_task(in_turns(freeing(trash)))
    _freeing.add(task)
    task.add_done_callback(_freeing.discard)
