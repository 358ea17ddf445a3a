"""A store whose saving waits for a sign: what happens meanwhile can be looked at without guessing at times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ndb_models.stores.contract import Scope, SessionRecord
from ndb_models.stores.memory import MemoryStore
from ndb_models.types import SessionToken

T = TypeVar("T")


class GatedStore(MemoryStore):
    """Reads everything (`KV_SAVE`, `SH_SAVE`) once `gate` is set; `entered` tells that somebody waits for that."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        self.entered.set()
        await self.gate.wait()
        return await super().get_all(scope)

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        self.entered.set()
        await self.gate.wait()
        return await super().read_all(consume, tokens)
