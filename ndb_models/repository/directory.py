"""Index sets: each lists the sessions with one value, and is found by the name of the value.

A set is a session without expiry, with a key for each member. Its token stands in a shared key, the name. The protocol
has no transactions, and no compare-and-set. But if several processes add one key, the first value stays (`KV_ADD`, then
`KV_GET` to see which). So a name is only added and never overwritten. It is removed only with exclusive use of the
index. This way no late step undoes the decision of another process.

Only others can make a set vanish: by `SH_END_ALL`, or by a restart that kept the shared keys alone. Another set follows
it, under the same name with a number.

A process that dies between creating a set and naming it leaves an empty session behind. The protocol can neither list
such a session nor give it an expiry later. A value that no session has any longer leaves its name and its empty set
behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from ndb_models.client import NdbClient
from ndb_models.errors import ProtocolError, ResponseError
from ndb_models.types import JsonValue, SessionToken, redact
from ndb_models.wire.commands import is_token
from ndb_models.wire.statuses import Status

T = TypeVar("T")

NOBODY: Final = 0
"""The token of a vacant member. No server gives it out."""

# Upper bounds for the bytes of a frame besides its keys, and of one member with its value.
_FRAME: Final = 100
_MEMBER: Final = 80

# Attempts, if others keep interfering.
_PATIENCE: Final = 16


class MissingSetError(LookupError):
    """The set is gone: its session was ended."""


class Member(NamedTuple):
    """A member of a set: its key, the session that it stands for, and the time it was made, in ms since 1970."""

    key: str
    tkn: SessionToken
    at: int

    def __repr__(self) -> str:
        return f"Member({redact(self.tkn)})"


class IndexSet:
    """A set: the session `tkn`, with a key for each member. All methods raise `MissingSetError` if it is gone."""

    def __init__(self, client: NdbClient, tkn: SessionToken) -> None:
        self._client = client
        self.tkn = tkn

    async def members(self) -> list[Member]:
        """Return the members, in the numeric order of their keys. Other keys are skipped.

        The members all existed at one moment. No member that existed throughout is missing.
        """
        found: dict[str, JsonValue] = {}
        for _ in range(_PATIENCE):
            names, found = await self._ask(self._client.sh_keys(self.tkn)), {}
            for part in self._parts(names):
                found |= await self._ask(self._client.sh_get(part, self.tkn))
            if len(found) == len(names):  # a missing one may have come back under another key
                break
        return sorted(filter(None, itertools.starmap(_member, found.items())), key=lambda member: int(member.key))

    async def has(self, key: str) -> bool:
        """Return True if there is a member with this key."""
        return bool(await self._ask(self._client.sh_contains([key], self.tkn)))

    async def put(self, member: Member) -> None:
        """Write a member, over any member with its key."""
        await self._ask(self._client.sh_set({member.key: [member.tkn, member.at]}, self.tkn))

    async def add(self, member: Member) -> None:
        """Write a member, unless there is one with its key."""
        await self._ask(self._client.sh_add({member.key: [member.tkn, member.at]}, self.tkn))

    async def remove(self, keys: Iterable[str]) -> None:
        """Remove the members with these keys. Missing members do no harm."""
        for part in self._parts([*keys]):
            await self._ask(self._client.sh_rmv(part, self.tkn))

    def _parts(self, keys: Sequence[str]) -> Iterator[Sequence[str]]:
        """Divide keys among as many frames as needed."""
        limit = self._client.max_payload
        size = len(keys) if limit is None else max(1, (limit - _FRAME) // _MEMBER)
        return (keys[start : start + size] for start in range(0, len(keys), size or 1))

    async def _ask(self, asking: Coroutine[Any, Any, T]) -> T:
        try:
            return await asking
        except ResponseError as exc:
            if exc.status == Status.SESSION_NOT_EXIST:
                raise MissingSetError from exc
            raise


def _member(key: str, value: JsonValue) -> Member | None:
    match value:
        case [int(tkn), int(at)] if key.isascii() and key.isdecimal() and is_token(tkn):
            return Member(key, tkn, at)
        case _:
            return None


class Directory:
    """Finds the set of a name, and makes a missing one."""

    def __init__(self, client: NdbClient) -> None:
        self._client = client

    async def use(self, name: str, work: Callable[[IndexSet], Awaitable[T]]) -> T:
        """Return the result of `work` for the set of a name.

        A missing set is made first. If the set vanishes, `work` begins anew with the next set.

        Raises:
            ProtocolError: sets are gone as soon as they are made.
        """
        made = 0
        for key in _numbered(name):
            tkn = await self._named(key)
            if tkn is None:
                made += 1
                if made > _PATIENCE:
                    break
                tkn = await self._make(key)
            try:
                return await work(IndexSet(self._client, tkn))
            except MissingSetError:
                continue  # it ended meanwhile: its successor, if any, stands under the next name
        raise ProtocolError("the server ends sessions as soon as they are created, so that no index can be kept")

    async def consult(self, name: str, work: Callable[[IndexSet], Awaitable[T]]) -> T | None:
        """Return the result of `work` for the set of a name, or for its successor if it vanishes. None without one."""
        for key in _numbered(name):
            tkn = await self._named(key)
            if tkn is None:
                return None
            try:
                return await work(IndexSet(self._client, tkn))
            except MissingSetError:
                continue  # it ended meanwhile: its successor, if any, stands under the next name
        return None

    async def _named(self, key: str) -> SessionToken | None:
        """Return the token under a name, or None. A value that is not a token counts as a set that is gone."""
        found = await self._client.kv_get([key])
        if key not in found:
            return None
        tkn = found[key]
        return tkn if isinstance(tkn, int) and is_token(tkn) else NOBODY

    async def _make(self, key: str) -> SessionToken:
        """Create a set and name it. Return the set that has the name, which may be another process's."""
        mine = (await self._client.sh_create_session()).tkn
        try:
            first = await self._name(key, mine)
        except BaseException:
            self._client.in_background(self._name_or_end(key, mine))
            raise
        if first is None:
            raise ProtocolError("a shared key of the index was removed as soon as it was added")
        if first != mine:
            self._client.end_soon(mine)
        return first

    async def _name(self, key: str, mine: SessionToken) -> SessionToken | None:
        """Name a set, unless another one has the name. Return the set that has the name."""
        await self._client.kv_add({key: mine})
        return await self._named(key)

    async def _name_or_end(self, key: str, mine: SessionToken) -> None:
        """Name a set after all, for the next search for the name. End it if another set has the name."""
        if await self._name(key, mine) not in (None, mine):
            await self._client.end_surely(mine)


def _numbered(name: str) -> Iterator[str]:
    """Yield the keys of a name's sets, the first set's first."""
    yield name
    yield from (f"{name}:{number}" for number in itertools.count(1))


def name_of(key: str) -> str:
    """Return the name that a key of `Directory` stands for. The name itself must not end in a short number."""
    name, _, number = key.rpartition(":")
    return name if len(number) < _SHORTEST and number.isdecimal() else key


# Numbers stay shorter than this, and hashes are longer.
_SHORTEST: Final = 12
