"""Bulk work on sessions: pipelined, in order, with an error for each item, within a bounded window."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from operator import length_hint
from typing import Any, Final, TypeAlias, TypeVar

from pydantic import BaseModel

from ndb_models.beginning import begun
from ndb_models.client import NdbClient
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.protocol.prepared import Prepared
from ndb_models.raising import raise_without_context

T = TypeVar("T")
R = TypeVar("R")

Progress: TypeAlias = Callable[[int], None]
"""Is called with the number of items done."""

_AT_ONCE: Final = 64
_TOLD_EVERY: Final = 1000

_FAILED: Final = "work on one of many sessions failed"


async def in_bulk(
    work: Callable[[T], Awaitable[R]], items: Iterable[T], progress: Progress | None
) -> list[R | NdbError]:
    """Return the result of `work` for each item, in order. Where `work` raises an `NdbError`, the error is the result.

    A bounded number of items is in work at once, enough to keep a connection busy. If this is cancelled, or `work`
    raises another exception, no further item is begun.

    Raises:
        InvalidArgumentError: a single item was given in place of an iterable.
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
            results.append(_PENDING)  # at this index: items are taken one after the other
            try:
                results[index] = await work(item)
            except NdbError as exc:
                results[index] = exc
            done += 1
            if progress is not None and done % _TOLD_EVERY == 0:
                progress(done)
            if done % _AT_ONCE == 0:
                await asyncio.sleep(0)  # an in-process store never waits: let other tasks run

    # The other workers start when the first one waits. A store in memory never waits, and needs no others.
    try:
        first = begun(worker())
    except Exception as exc:  # noqa: BLE001 - raised as a group of workers raises it
        raise_without_context(ExceptionGroup(_FAILED, [exc]))
    if first is not None:
        async with asyncio.TaskGroup() as group:
            # The length is only a hint: each worker goes on until no item remains.
            for _ in range(min(_AT_ONCE, length_hint(items, _AT_ONCE)) - 1):
                group.create_task(worker())
            await first
    if progress is not None and (done % _TOLD_EVERY or not done):
        progress(done)
    return results


_PENDING: Final = NdbError("not done")


def perform_together(
    client: NdbClient, requests: Iterable[Prepared]
) -> list[dict[str, Any]] | Awaitable[list[dict[str, Any]]]:
    """Send requests at once. Return the bodies of their answers in order, also on a failure status.

    If the answers take waiting, an awaitable for them is returned. If a request fails, or this is cancelled, the others
    may still be carried out. Raises as `NdbClient.begin`.
    """
    begun = [*map(client.begin, requests)]
    bodies: list[dict[str, Any]] = []
    for each in begun:
        if not isinstance(each, dict):
            return _gathered(begun)
        bodies.append(each)
    return bodies


async def _gathered(begun: list[dict[str, Any] | Awaitable[dict[str, Any]]]) -> list[dict[str, Any]]:
    return await asyncio.gather(*[_known(each) if isinstance(each, dict) else each for each in begun])


async def _known(body: dict[str, Any]) -> dict[str, Any]:
    return body
