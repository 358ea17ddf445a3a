"""The sessions of an engine in this process, for the status page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ndb_models.dashboard.sources import (
    MOST_BYTES,
    MOST_NAMES,
    RESERVED_KEY,
    KeysRead,
    ReservedPage,
    SessionFacts,
    SessionSource,
    parsed,
)
from ndb_models.engine import Engine
from ndb_models.stores.contract import SHARED, Store, TooLargeError, UnknownSessionError
from ndb_models.types import JsonValue, SessionToken


class EngineSource(SessionSource):
    """Reads an engine's store directly: reads of the page do not count as requests."""

    def __init__(self, engine: Engine) -> None:
        self._store: Store = engine.store

    async def page(self, after: SessionToken | None, count: int) -> ReservedPage:
        page = await self._store.page(RESERVED_KEY, after, count, MOST_BYTES)
        texts = {str(tkn): text for tkn, text in page.values.items()}
        return ReservedPage({int(tkn): value for tkn, value in parsed(texts)[0].items()}, page.last)

    async def keys(self, tkn: SessionToken, most: int = MOST_NAMES) -> KeysRead | None:
        try:
            names = await self._store.names(tkn, most + 1)
            wanted, left_out = names[:most], names[most:]
            values, unreadable = parsed(await self._texts(tkn, wanted))
        except UnknownSessionError:
            return None
        missing = [name for name in wanted if name not in values and name not in unreadable]
        return KeysRead(values, [*left_out, *unreadable, *missing])

    async def _texts(self, tkn: SessionToken, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the texts of keys. If they are too large together, leave out those with the most bytes."""
        try:
            return (await self._store.peek(tkn, names, MOST_BYTES)).split()
        except TooLargeError:
            texts: dict[str, bytes] = {}
            for name in names:
                text = (await self._store.peek(tkn, (name,))).get(name, b"")
                if len(text) <= MOST_BYTES // len(names):
                    texts[name] = text
            return texts

    async def some_keys(self, tkn: SessionToken, names: Sequence[str]) -> Mapping[str, JsonValue] | None:
        try:
            return parsed((await self._store.peek(tkn, names)).split())[0]
        except UnknownSessionError:
            return None

    async def facts(self, tkn: SessionToken) -> SessionFacts | None:
        try:
            info = await self._store.info(tkn)
        except UnknownSessionError:
            return None
        return SessionFacts(info.key_count, info.remaining, info.expiry)

    async def shared(self, name: str) -> JsonValue:
        return parsed((await self._store.peek(SHARED, (name,))).split())[0].get(name)

    async def end(self, tkn: SessionToken, schema: str) -> bool:
        return await self._store.end(tkn)

    async def totals(self) -> tuple[int, int]:
        return await self._store.totals()
