"""The hand-over of all sessions from an event loop, which reads them, to a thread, which consumes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Final, TypeVar

from ndb_models.errors import NdbError
from ndb_models.stores.contract import SessionRecord

T = TypeVar("T")

# The most batches that wait for a slower consumer.
_AHEAD: Final = 4


class _CutOffError(NdbError):
    """The loop has stopped handing records over: the consumer did not get them all."""


async def hand_over(
    following: Callable[[], Awaitable[list[SessionRecord] | None]], consume: Callable[[Iterable[SessionRecord]], T]
) -> T:
    """Have records consumed in a thread while they are read; return the consumer's result.

    `following` returns the next records, and nothing at the end.

    On cancellation the consumer's iterator raises, so that the consumer cannot take a part for the whole.
    """
    loop = asyncio.get_running_loop()
    queue: SimpleQueue[list[SessionRecord] | BaseException | None] = SimpleQueue()
    room = asyncio.Semaphore(_AHEAD)

    def records() -> Iterator[SessionRecord]:
        while (batch := queue.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(room.release)
            yield from batch

    def consume_all() -> T:
        stream = records()
        try:
            return consume(stream)
        finally:
            with contextlib.suppress(_CutOffError):  # a consumer that stopped early must not block the loop
                for _ in stream:
                    pass

    consumed = asyncio.ensure_future(asyncio.to_thread(consume_all))
    try:
        while batch := await following():
            await room.acquire()
            queue.put(batch)
    except BaseException:
        queue.put(_CutOffError())
        raise
    queue.put(None)
    return await consumed
