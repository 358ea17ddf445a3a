"""The catalogue: it leads from the name of a value to the entries of the sessions that have it.

The entries of a value are the keys of one session without expiry, an entry set. The token of the set stands in a shared
key, the name. The protocol has no transactions, and no compare-and-set. But if several processes add one key, the first
value stays (`KV_ADD`, then `KV_GET` to see which). So a name is only added and never overwritten. It is removed only
with exclusive use of the index. This way no late step undoes the decision of another process.

Only others can make a set vanish: by `SH_END_ALL`, or by a restart that kept the shared keys alone. Another set follows
it, under the same name with a number.

A process that dies between creating a set and naming it leaves a session behind that leads to nothing. The protocol can
neither list such a session nor give it an expiry later. A value that no session has any longer leaves its name and its
empty set behind.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import ConnectionLostError, NdbError, ProtocolError, RequestTimeoutError, ResponseError
from ndb_models.index.entries import VACANT, IndexEntry, entries_in
from ndb_models.json_text import UNREADABLE, ObjectText
from ndb_models.protocol.commands import COMMANDS, is_token
from ndb_models.protocol.prepared import NO_PARAMETERS, Prepared, unreadable
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.raising import raise_without_context
from ndb_models.sessions.creation import draw_token
from ndb_models.sessions.keys_read import keys_read
from ndb_models.types import JsonValue, SessionToken

T = TypeVar("T")

# Upper bounds for the bytes of a frame besides its keys, and of one entry.
_FRAME: Final = 100
_ENTRY: Final = 80

# Attempts, if others keep interfering.
_ATTEMPTS: Final = 16

_KV_ADD: Final = COMMANDS["KV_ADD"]
_KV_GET: Final = COMMANDS["KV_GET"]
_SH_ADD: Final = COMMANDS["SH_ADD"]
_SH_GET: Final = COMMANDS["SH_GET"]
_SH_NEW_SET: Final = COMMANDS["SH_NEW_SET"]
_SH_SET: Final = COMMANDS["SH_SET"]

_decode_keys = msgspec.json.Decoder(dict[str, Any]).decode


class MissingSetError(NdbError):
    """The entry set is gone: its session was ended."""


class EntrySet:
    """The entries of one value: the keys of the session `tkn`. All methods raise `MissingSetError` if it is gone."""

    def __init__(self, client: NdbClient, tkn: SessionToken) -> None:
        self._client = client
        self.tkn = tkn

    async def entries(self) -> list[IndexEntry]:
        """Return the entries, in the numeric order of their keys. Other keys are skipped.

        The entries all existed at one moment. No entry that existed throughout is missing.
        """
        found: dict[str, JsonValue] = {}
        for _ in range(_ATTEMPTS):
            names, found = await self._ask(self._client.sh_keys(self.tkn)), {}
            for part in self._parts(names):
                found |= _values(await self._perform(keys_read(_SH_GET, tuple(part), self.tkn)))
            if len(found) == len(names):  # a missing one may have come back under another key
                break
        return entries_in(found)

    async def has(self, key: str) -> bool:
        """Return True if there is an entry with this key."""
        return bool(await self._ask(self._client.sh_contains([key], self.tkn)))

    async def put(self, entry: IndexEntry) -> None:
        """Write an entry, over any entry with its key."""
        await self._perform(Prepared(_SH_SET, self.tkn, values=entry.as_keys))

    async def add(self, entry: IndexEntry) -> None:
        """Write an entry, unless there is one with its key."""
        await self._perform(Prepared(_SH_ADD, self.tkn, values=entry.as_keys))

    async def remove(self, keys: Iterable[str]) -> None:
        """Remove the entries with these keys. Missing entries do no harm."""
        for part in self._parts([*keys]):
            await self._ask(self._client.sh_rmv(part, self.tkn))

    async def _ask(self, asking: Coroutine[Any, Any, T]) -> T:
        try:
            return await asking
        except ResponseError as exc:
            if exc.status == Status.SESSION_NOT_EXIST:
                raise MissingSetError from exc
            raise

    async def _perform(self, request: Prepared) -> Mapping[str, Any]:
        answer = await self._client.perform(request)
        if answer["st"] == Status.SESSION_NOT_EXIST:
            raise MissingSetError
        return _succeeded(request, answer)

    def _parts(self, keys: Sequence[str]) -> Iterator[Sequence[str]]:
        """Divide keys among as many frames as needed."""
        limit = self._client.max_payload
        size = len(keys) if limit is None else max(1, (limit - _FRAME) // _ENTRY)
        return (keys[start : start + size] for start in range(0, len(keys), size or 1))


def _succeeded(request: Prepared, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an answer. A failure status raises its error."""
    if answer["st"] != OK_STATUS:
        raise failure(request.command, answer)
    return answer


def _values(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an answer with their values."""
    try:
        return _decode_keys(answer["keys"].text)
    except UNREADABLE:
        raise_without_context(unreadable("a read of the index"))


class Catalogue:
    """Finds the entry set of a name, and makes a missing one."""

    def __init__(self, client: NdbClient) -> None:
        self._client = client

    async def use(
        self,
        name: str,
        work: Callable[[EntrySet], Awaitable[T]],
        first: IndexEntry | None = None,
        withdrawn: IndexEntry | None = None,
    ) -> T | None:
        """Return the result of `work` for the set of a name. If the set vanishes, `work` begins anew with the next set.

        Without a set, the result is None. If the entry `first` is given, a set is made that holds it alone. On a server
        that cannot do this in one request, `work` gets the new set. If the making is cut short, the entry `withdrawn`
        is written over the first one in the background.

        Raises:
            ProtocolError: sets are gone as soon as they are made.
        """
        made = 0
        for key in _numbered(name):
            tkn = await self._named(key)
            if tkn is None:
                if first is None:
                    return None
                made += 1
                if made > _ATTEMPTS:
                    break
                tkn, is_done = await self._make(key, first, withdrawn)
                if is_done:
                    return None
            try:
                return await work(EntrySet(self._client, tkn))
            except MissingSetError:
                continue  # it ended meanwhile: its successor, if any, stands under the next name
        raise ProtocolError("the server ends sessions as soon as they are created, so that no index can be kept")

    async def _named(self, key: str) -> SessionToken | None:
        """Return the token under a name, or None. A value that is not a token counts as a set that is gone."""
        request = keys_read(_KV_GET, (key,))
        found = _values(_succeeded(request, await self._client.perform(request)))
        if key not in found:
            return None
        return found[key] if is_token(found[key]) else VACANT

    async def _make(self, key: str, first: IndexEntry, withdrawn: IndexEntry | None) -> tuple[SessionToken, bool]:
        """Make a set and name it. Return the set that has the name, which may be another process's.

        Return also whether that set was made here, with its first entry in it.
        """
        mine = await self._create_with(first)
        holds_first = mine is not None
        if mine is None:
            mine = (await self._client.sh_create_session()).tkn
        try:
            named = await self._name(key, mine)
        except BaseException:
            self._client.in_background(self._name_or_end(key, mine, withdrawn))
            raise
        if named is None:
            raise ProtocolError("a shared key of the index was removed as soon as it was added")
        if named != mine:
            self._client.end_soon(mine)
        return named, named == mine and holds_first

    async def _create_with(self, first: IndexEntry) -> SessionToken | None:
        """Create a set with its first entry, and return its token. Return None if the server cannot do so."""
        tkn = draw_token()
        request = Prepared(_SH_NEW_SET, tkn, NO_PARAMETERS, first.as_keys)
        try:
            answer = await self._client.attempt(request)
        except (asyncio.CancelledError, ConnectionLostError, RequestTimeoutError):
            self._client.end_soon(tkn)
            raise
        if answer is None or answer["st"] == Status.SESSION_NEW_FAIL:
            return None
        _succeeded(request, answer)
        return tkn

    async def _name(self, key: str, mine: SessionToken) -> SessionToken | None:
        """Name a set, unless another one has the name. Return the set that has the name."""
        request = Prepared(_KV_ADD, values=ObjectText.joined({key: b"%d" % mine}))
        _succeeded(request, await self._client.perform(request))
        return await self._named(key)

    async def _name_or_end(self, key: str, mine: SessionToken, withdrawn: IndexEntry | None) -> None:
        """Name a set after all, for the next search for the name. End it if another set has the name."""
        if withdrawn is not None:
            await EntrySet(self._client, mine).put(withdrawn)
        if await self._name(key, mine) not in (None, mine):
            await self._client.end_surely(mine)


def _numbered(name: str) -> Iterator[str]:
    """Yield the keys of a name's sets, the first set's first."""
    yield name
    yield from (f"{name}:{number}" for number in itertools.count(1))


def name_of(key: str) -> str:
    """Return the name that a key of the catalogue stands for. The name itself must not end in a short number."""
    name, _, number = key.rpartition(":")
    return name if len(number) < _SHORTEST and number.isdecimal() else key


# Numbers stay shorter than this, and hashes are longer.
_SHORTEST: Final = 12
