"""A store at the other end of the protocol: each verb as the commands that there are for it.

What the protocol has no command for goes the way that it leaves open: sessions are looked at and created under their
tokens through data sets, and to swap a key is to look, and to write all keys anew.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ndb_models import NdbClient
from ndb_models.engine.snapshots import Kind, Snapshots, sessions_texts
from ndb_models.expectations import NO_EXPECTATIONS, Expected, are_as_expected, told_by
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Prepared
from ndb_models.protocol.statuses import Status
from ndb_models.server import NdbServer
from ndb_models.stores.contract import (
    NO_KEYS,
    NO_SWAPS,
    SHARED,
    ExpirySettings,
    Scope,
    SessionInfo,
    SessionPage,
    SessionRecord,
    Store,
    Swaps,
    UnknownSessionError,
    Verbs,
)
from ndb_models.types import SessionToken

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


def _raw(keys: Mapping[str, bytes]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(text) for name, text in keys.items()}


class ServedStore(Store):
    """A client of a server whose data sets are in `directory`."""

    def __init__(self, client: NdbClient, server: NdbServer, inner: Store, directory: Path) -> None:
        self._client = client
        self._server = server
        self._inner = inner
        self._snapshots = Snapshots(directory)
        self._numbers = itertools.count()
        self._changing = asyncio.Lock()

    async def read(self, work: Callable[[Verbs], T]) -> T:
        raise AssertionError("every verb is a command")

    async def write(self, work: Callable[[Verbs], T]) -> T:
        raise AssertionError("every verb is a command")

    async def _ask(self, command: str, scope: Scope = SHARED, /, **body: object) -> dict[str, Any]:
        if scope is not SHARED:
            body["tkn"] = scope
        answer = await self._client.request(Prepared(COMMANDS[command], frame=_encode({command: body})))
        decoded = msgspec.json.decode(answer, type=dict[str, dict[str, msgspec.Raw]])[f"{command}_RSP"]
        fields = {
            field: text if field in ("keys", "values") else msgspec.json.decode(text) for field, text in decoded.items()
        }
        if fields["st"] == Status.SESSION_NOT_EXIST:
            raise UnknownSessionError
        assert fields["st"] in (Status.OK, Status.SAVE_COMPLETE, Status.LOAD_COMPLETE), fields
        return fields

    async def _on_map(self, verb: str, scope: Scope, /, **body: object) -> dict[str, Any]:
        return await self._ask(f"{'KV' if scope is SHARED else 'SH'}_{verb}", scope, **body)

    async def set(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        # The protocol refuses to set nothing, but not to add nothing, which comes to the same.
        await self._on_map("SET" if keys else "ADD", scope, keys=_raw(keys))

    async def add(self, scope: Scope, keys: Mapping[str, bytes]) -> None:
        await self._on_map("ADD", scope, keys=_raw(keys))

    async def get(self, scope: Scope, names: Iterable[str], most: int | None = None) -> ObjectText:
        return ObjectText(bytes((await self._on_map("GET", scope, keys=list(names)))["keys"]))

    async def peek(self, scope: Scope, names: Iterable[str], most: int | None = None) -> ObjectText:
        if scope is SHARED:
            return await self.get(scope, names)
        return ObjectText(bytes((await self._ask("SH_PEEK", scope, keys=list(names)))["keys"]))

    async def get_all(self, scope: Scope) -> dict[str, bytes]:
        if scope is SHARED:
            name = f"keys{next(self._numbers)}"
            await self._ask("KV_SAVE", name=name)
            return self._snapshots.load_keys(name)
        records = await self.export([scope])
        if not records:
            raise UnknownSessionError
        return dict(records[0].keys)

    async def remove(self, scope: Scope, names: Iterable[str]) -> None:
        await self._on_map("RMV", scope, keys=list(names))

    async def change(
        self, scope: Scope, keys: Mapping[str, bytes], removed: Iterable[str] = (), expected: Expected = NO_EXPECTATIONS
    ) -> bool:
        gone = list(removed)
        if scope is not SHARED:
            told = {**told_by(expected), "remove": gone}
            return bool((await self._ask("SH_CHANGE", scope, keys=_raw(keys), **told))["done"])
        async with self._changing:  # the protocol has no such command for shared keys
            there = await self.get_all(scope)
            if not are_as_expected(there, expected):
                return False
            kept = {name: text for name, text in there.items() if name not in gone}
            await self.replace(scope, {**kept, **keys})
            return True

    async def clear(self, scope: Scope) -> int:
        return int((await self._on_map("CLEAR", scope))["cnt"])

    async def replace(self, scope: Scope, keys: Mapping[str, bytes]) -> int:
        return int((await self._on_map("CLEAR_SET", scope, keys=_raw(keys)))["cnt"])

    async def count(self, scope: Scope) -> int:
        return int((await self._on_map("COUNT", scope))["cnt"])

    async def names(self, scope: Scope, most: int | None = None) -> list[str]:
        return msgspec.json.decode((await self._on_map("KEYS", scope))["keys"], type=list[str])[:most]

    async def contains(self, scope: Scope, names: Iterable[str]) -> list[str]:
        return list((await self._on_map("CONTAINS", scope, keys=list(names)))["contains"])

    async def create(self, token: SessionToken, expiry: ExpirySettings, keys: Mapping[str, bytes] = NO_KEYS) -> bool:
        name = f"restored{next(self._numbers)}"
        self._snapshots.save(name, Kind.SESSIONS, sessions_texts([SessionRecord(token, expiry, keys)]))
        return bool((await self._ask("SH_LOAD", name=name))["sessions"])

    async def expire(
        self, token: SessionToken, expiry: ExpirySettings, *, restart: bool = True, swaps: Swaps = NO_SWAPS
    ) -> bool:
        told = {
            "duration": expiry.duration,
            "deleteSession": expiry.delete_session,
            "extendOnSetAdd": expiry.extend_on_set_add,
            "extendOnGet": expiry.extend_on_get,
            "touchEvery": expiry.touch_every,
        }
        pairs = {name: [msgspec.Raw(old), msgspec.Raw(new)] for name, (old, new) in swaps.items()}
        return bool((await self._ask("SH_EXPIRE", token, expiry=told, restart=restart, keys=pairs))["done"])

    async def end(self, token: SessionToken) -> bool:
        try:
            await self._ask("SH_END", token)
        except UnknownSessionError:
            return False
        return True

    async def end_all(self) -> int:
        return int((await self._ask("SH_END_ALL"))["cnt"])

    async def exist(self, tokens: Iterable[SessionToken]) -> list[SessionToken]:
        return list((await self._ask("SH_EXISTS", tkns=list(tokens)))["exist"])

    async def info(self, token: SessionToken) -> SessionInfo:
        answer = await self._ask("SH_INFO", token)
        expiry = answer.get("expiry", {})
        (record,) = await self.export([token])  # the settings of a session that never expires are not in the answer
        return SessionInfo(answer["keyCnt"], record.expiry, expiry.get("remaining"))

    async def totals(self) -> tuple[int, int]:
        answer = await self._ask("SH_INFO_ALL")
        return answer["totalSessions"], answer["totalKeys"]

    async def export(self, tokens: Sequence[SessionToken] | None = None) -> list[SessionRecord]:
        if tokens is not None and not tokens:
            return []
        name = f"exported{next(self._numbers)}"
        await (self._ask("SH_SAVE", name=name) if tokens is None else self._ask("SH_SAVE", name=name, tkns=tokens))
        return self._snapshots.load_sessions(name)

    async def page(self, name: str, after: SessionToken | None, count: int, most: int) -> SessionPage:
        told = {} if after is None else {"after": after}
        answer = await self._ask("SH_LIST", key=name, count=count, **told)
        values = msgspec.json.decode(answer["values"], type=list[msgspec.Raw])
        return SessionPage(dict(zip(answer["tkns"], map(bytes, values), strict=True)), answer.get("next"))

    async def read_all(
        self, consume: Callable[[Iterable[SessionRecord]], T], tokens: Sequence[SessionToken] | None = None
    ) -> T:
        return await asyncio.to_thread(consume, await self.export(tokens))

    async def sweep(self) -> None:
        await self._inner.sweep()

    async def aclose(self) -> None:
        await self._client.close()
        await self._server.stop()
