"""A store in memory that has requests wait, and lets a test do something before and after each verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from ndb_models.stores.contract import Verbs
from ndb_models.stores.memory import MemoryStore

T = TypeVar("T")


class _Recorder:
    """Verbs that do nothing but note which was called."""

    def __init__(self) -> None:
        self.called: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **_options: self.called.append((name, args))


class WatchedStore(MemoryStore):
    """Override `before` and `after`."""

    def __init__(self) -> None:
        super().__init__()
        self.verbs = None  # requests have to wait

    async def before(self, verb: str, *args: Any) -> None:
        """Is awaited before a verb is carried out, with its arguments."""

    async def after(self, verb: str) -> None:
        """Is awaited after a verb was carried out."""

    async def read(self, work: Callable[[Verbs], T]) -> T:
        return await self.write(work)

    async def write(self, work: Callable[[Verbs], T]) -> T:
        recorder = _Recorder()
        work(cast(Verbs, recorder))
        ((verb, args),) = recorder.called
        await self.before(verb, *args)
        outcome = work(self._table)
        await self.after(verb)
        return outcome
