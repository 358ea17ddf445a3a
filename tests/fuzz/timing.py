"""An engine that notes how long its requests hold the event loop, as CPU time: nothing else on the machine counts."""

from __future__ import annotations

import functools
import gc
import types
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from time import thread_time
from typing import Any, Final

from ndb_models.engine import Engine
from ndb_models.stores.contract import Store

LONGEST: Final = 0.05
"""Seconds that a request may hold the event loop."""


class TimedEngine(Engine):
    """Notes the longest time that a request held the loop without a turn for others.

    Args:
        store: where the data is.
        persist_path: where data sets are.
        tell: is called with each frame that took longer than `LONGEST`, and its seconds.
    """

    def __init__(self, store: Store, *, persist_path: Path, tell: Callable[[bytes, float], None]) -> None:
        super().__init__(store, persist_path=persist_path)
        self.longest = 0.0
        self._tell = tell
        # Collecting garbage is nobody's request.
        self._collecting = 0.0
        self._collection_began = 0.0
        gc.callbacks.append(self._note_garbage)

    def begin(self, frame: bytes, admin: bool = True, *others: Any) -> bytes | Coroutine[Any, Any, bytes]:
        began = self._now()
        answering = super().begin(frame, admin, *others)
        self._note(frame, began)
        return answering if isinstance(answering, bytes) else self._finish(frame, answering)

    async def _finish(self, frame: bytes, answering: Coroutine[Any, Any, bytes]) -> bytes:
        return await self._in_steps(frame, answering)

    @types.coroutine
    def _in_steps(self, frame: bytes, answering: Coroutine[Any, Any, bytes]) -> Generator[Any, Any, bytes]:
        step: Callable[[], Any] = functools.partial(answering.send, None)
        while True:
            began = self._now()
            try:
                waits_for = step()
            except StopIteration as done:
                answer: bytes = done.value
                return answer
            finally:
                self._note(frame, began)
            try:
                sent = yield waits_for
            except BaseException as exc:  # noqa: BLE001 - whatever is thrown in, cancellation too, is the engine's
                step = functools.partial(answering.throw, exc)
            else:
                step = functools.partial(answering.send, sent)

    def _now(self) -> float:
        return thread_time() - self._collecting

    def _note(self, frame: bytes, began: float) -> None:
        took = self._now() - began
        self.longest = max(self.longest, took)
        if took > LONGEST:
            self._tell(frame, took)

    def _note_garbage(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collection_began = thread_time()
        else:
            self._collecting += thread_time() - self._collection_began
