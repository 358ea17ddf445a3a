"""Doing one thing to many sessions: pipelined, in order, with the errors of each, within a bounded window."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from operator import length_hint
from typing import Final, TypeAlias, TypeVar

from pydantic import BaseModel

from ndb_models.errors import InvalidArgumentError, NdbError

T = TypeVar("T")
R = TypeVar("R")

Progress: TypeAlias = Callable[[int], None]
"""Is told how many are done."""

_AT_ONCE: Final = 64
_TOLD_EVERY: Final = 1000


async def in_bulk(
    work: Callable[[T], Awaitable[R]], items: Iterable[T], progress: Progress | None
) -> list[R | NdbError]:
    """Return what `work` returns for each item, in their order; where it raises an error of ours, that error.

    So many are worked on at once as keep a connection busy, however many there are. If this is cancelled, or `work`
    raises anything else, none is begun any more.

    Raises:
        InvalidArgumentError: it is one item rather than many.
    """
    if isinstance(items, (str, bytes, BaseModel)) or not isinstance(items, Iterable):
        one = type(items).__name__
        raise InvalidArgumentError(f"many are given as a list or another iterable, not as one value of type {one}")
    results: list[R | NdbError] = []
    remaining: Iterator[tuple[int, T]] = enumerate(items)
    done = 0

    async def worker() -> None:
        nonlocal done
        for index, item in remaining:
            while len(results) <= index:
                results.append(_PENDING)
            try:
                results[index] = await work(item)
            except NdbError as exc:
                results[index] = exc
            done += 1
            if progress is not None and done % _TOLD_EVERY == 0:
                progress(done)
            if done % _AT_ONCE == 0:
                await asyncio.sleep(0)  # where nothing waits, as in this process, others get their turn too

    # One worker at least: the length is a hint, and each worker goes on until no item remains.
    workers = min(_AT_ONCE, max(1, length_hint(items, _AT_ONCE)))
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker())
    if progress is not None and (done % _TOLD_EVERY or not done):
        progress(done)
    return results


_PENDING: Final = NdbError("not done")
