"""Begin a coroutine in the call: one that never waits is done at once, without a task and a turn of the loop.

A leaf: it does not import from this package.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


def begun(coroutine: Coroutine[Any, Any, T]) -> T | Coroutine[Any, Any, T]:
    """Return the outcome of a coroutine if it never waits, otherwise a coroutine that goes on with it.

    If another task goes on with it, it must not use `asyncio.timeout` or `asyncio.current_task` before its first wait.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as done:
        outcome: T = done.value
        return outcome
    return _resumed(coroutine, waits_for)


async def _resumed(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> T:
    return await _rest(coroutine, waits_for)


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Wait for the awaitable that the coroutine waits for, and run the coroutine to its end."""
    try:
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as exc:  # noqa: BLE001 - a cancellation too is the coroutine's
                waits_for = coroutine.throw(exc)
            else:
                waits_for = coroutine.send(sent)
    except StopIteration as done:
        outcome: T = done.value
        return outcome
