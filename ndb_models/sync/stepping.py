"""Iterates over an asynchronous generator in a synchronous program."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from time import perf_counter
from typing import TypeVar

from ndb_models.sync.portal import Portal
from ndb_models.turns import TURN

T = TypeVar("T")


def stepping(portal: Portal, begin: Callable[[], AsyncGenerator[T]]) -> Generator[T]:
    """Yield the items of an asynchronous generator. It runs ahead of the caller by up to a millisecond."""
    steps = begin()
    is_over = False
    error: Exception | None = None

    async def some() -> list[T]:
        nonlocal is_over, error
        found: list[T] = []
        ends = perf_counter() + TURN
        try:
            async for each in steps:
                found.append(each)
                if perf_counter() >= ends:
                    return found
        except Exception as exc:  # noqa: BLE001 - raised after the items before it
            error = exc
        is_over = True
        return found

    while not is_over:
        yield from portal.call(some)
    if error is not None:
        try:
            raise error
        finally:
            error = None  # its traceback holds this frame
