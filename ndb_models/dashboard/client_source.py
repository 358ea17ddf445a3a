"""The sessions that a client reaches, for the status page of an application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from ndb_models.client import NdbClient
from ndb_models.dashboard.sources import MOST_NAMES, RESERVED_KEY, KeysRead, ReservedPage, SessionFacts, SessionSource
from ndb_models.errors import ResponseError
from ndb_models.protocol.statuses import Status
from ndb_models.types import JsonValue, SessionToken, settings_in

T = TypeVar("T")


class ClientSource(SessionSource):
    """Reads sessions with a client.

    Args:
        client: an open client. At a server with tokens, it needs one for admins, who may list sessions.
        ends: by schema, how a session is ended; a session of any other schema is ended as it is.
    """

    def __init__(self, client: NdbClient, ends: Mapping[str, Callable[[SessionToken], Awaitable[bool]]]) -> None:
        self._client = client
        self._ends = ends

    async def page(self, after: SessionToken | None, count: int) -> ReservedPage:
        listed = await self._client.sh_list(RESERVED_KEY, after, count)
        return ReservedPage(listed.values, listed.next)

    async def keys(self, tkn: SessionToken, most: int = MOST_NAMES) -> KeysRead | None:
        names = await _unless_gone(self._client.sh_keys(tkn))
        if names is None:
            return None
        wanted, left_out = names[:most], names[most:]
        values = await self._values(tkn, wanted)
        if values is None:
            return None
        return KeysRead(values, [*left_out, *(name for name in wanted if name not in values)])

    async def _values(self, tkn: SessionToken, names: Sequence[str]) -> Mapping[str, JsonValue] | None:
        """Return the values of keys. If they are too large for one answer, each is asked for by itself."""
        try:
            return await self.some_keys(tkn, names)
        except ResponseError as exc:
            if exc.status != Status.VALUE_SIZE:
                raise
        values: dict[str, JsonValue] = {}
        for name in names:
            values |= await self.some_keys(tkn, (name,)) or {}
        return values

    async def some_keys(self, tkn: SessionToken, names: Sequence[str]) -> Mapping[str, JsonValue] | None:
        return await _unless_gone(self._client.sh_peek(names, tkn))

    async def facts(self, tkn: SessionToken) -> SessionFacts | None:
        info = await _unless_gone(self._client.sh_info(tkn))
        if info is None:
            return None
        count, told = info.get("keyCnt"), info.get("expiry")
        timer = told if isinstance(told, dict) else {}
        remaining = timer.get("remaining")
        return SessionFacts(
            count if isinstance(count, int) else 0,
            remaining if isinstance(remaining, (int, float)) else None,
            settings_in(timer),
        )

    async def shared(self, name: str) -> JsonValue:
        return (await self._client.kv_get([name])).get(name)

    async def end(self, tkn: SessionToken, schema: str) -> bool:
        if schema in self._ends:
            return await self._ends[schema](tkn)
        return bool(await _unless_gone(self._client.sh_end(tkn)))

    async def totals(self) -> tuple[int, int]:
        totals = await self._client.sh_info_all()
        sessions, keys = totals.get("totalSessions"), totals.get("totalKeys")
        return (sessions if isinstance(sessions, int) else 0), (keys if isinstance(keys, int) else 0)


async def _unless_gone(asking: Awaitable[T]) -> T | None:
    """Return an answer; None if the session does not exist."""
    try:
        return await asking
    except ResponseError as exc:
        if exc.status == Status.SESSION_NOT_EXIST:
            return None
        raise
