"""A watch whose every look is decided by a test: time stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from pydantic import BaseModel

from ndb_models import ConfigChange, ConfigWatch

C = TypeVar("C", bound=BaseModel)


class Time:
    """A clock, and sleeping by it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._news = asyncio.Event()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        waking = asyncio.get_running_loop().create_future()
        sleeper = self.now + seconds, waking
        self._sleepers.append(sleeper)
        self.pauses.append(seconds)
        self._news.set()
        try:
            await waking
        finally:
            self._sleepers.remove(sleeper)

    def move(self, seconds: float) -> None:
        """Let time pass, and wake those whose time has come."""
        self.now += seconds
        for until, waking in self._sleepers:
            if until <= self.now and not waking.done():
                waking.set_result(None)

    async def asleep(self, number: int = 1) -> None:
        """Wait until so many sleep at the same time."""
        while sum(not waking.done() for _, waking in self._sleepers) < number:
            self._news.clear()
            await self._news.wait()


class Observer(Generic[C]):
    """Consumes a watch, in a task of its own; keeps what it yields."""

    def __init__(self, watch: ConfigWatch[C], time: Time) -> None:
        self.watch = watch
        self.changes: list[ConfigChange[C]] = []
        self._time = time
        self.task = asyncio.create_task(self._consume())

    async def _consume(self) -> None:
        async for change in self.watch:
            self.changes.append(change)

    async def look(self, seconds: float = 1.0) -> list[ConfigChange[C]]:
        """Let the watch look once more; return what it has yielded since the last time."""
        await self.ready()
        self._time.move(seconds)
        await self.ready()
        changes, self.changes = self.changes, []
        return changes

    async def ready(self) -> None:
        """Wait until the watch waits for its next look, or is over."""
        asleep = asyncio.ensure_future(self._time.asleep())
        await asyncio.wait((asleep, self.task), return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()
        if self.task.done():
            self.task.result()


@asynccontextmanager
async def observed(watch: ConfigWatch[C], time: Time) -> AsyncIterator[Observer[C]]:
    """Consume a watch until the end of the block. It has looked once when the block begins."""
    observer = Observer(watch, time)
    try:
        async with asyncio.timeout(60):
            await observer.ready()
            yield observer
    finally:
        observer.task.cancel()
        await asyncio.wait([observer.task])
