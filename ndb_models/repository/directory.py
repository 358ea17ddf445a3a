"""Where the sessions that have a value are listed: sets, each a session of its own, found by the name of the value.

A set is a session without expiry, with a key for each member; its token stands in a shared key, the name. The protocol
has no transactions, and cannot compare before it sets. What it has is that of many who add one key the first one's
value stays (`KV_ADD`, then `KV_GET` to see whose). So a name is only ever added, never written over, and never removed
(but by who has the index to himself): nobody can undo, late, what another decided meanwhile. A set that is gone, which
only others can bring about (`SH_END_ALL`, or a restart that kept the shared keys alone), is followed by another one
under the same name with a number.

A process that dies between creating a set and naming it leaves an empty session behind, which the protocol can neither
list nor give an expiry later. So does a value that no session has any longer: its name and its empty set stay.
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
"""A token that no server gives out: that of a member whose place is vacant."""

# More than a frame has besides its keys, and a key of a set in it with its value.
_FRAME: Final = 100
_MEMBER: Final = 80

# How often what others undo is done again.
_PATIENCE: Final = 16


class MissingSetError(LookupError):
    """The set is gone: somebody ended its session."""


class Member(NamedTuple):
    """A member of a set: its key, the session that it stands for, and when it was made, in ms since 1970."""

    key: str
    tkn: SessionToken
    at: int

    def __repr__(self) -> str:
        return f"Member({redact(self.tkn)})"


class IndexSet:
    """A set: the session `tkn`, with a key for each member. All methods raise `MissingSetError` where it is gone."""

    def __init__(self, client: NdbClient, tkn: SessionToken) -> None:
        self._client = client
        self.tkn = tkn

    async def members(self) -> list[Member]:
        """Return the members, in the order of the numbers that their keys are. What is no member is passed over.

        All were there at one moment, and no other that was there all the time is missing.
        """
        found: dict[str, JsonValue] = {}
        for _ in range(_PATIENCE):
            names, found = await self._ask(self._client.sh_keys(self.tkn)), {}
            for part in self._parts(names):
                found |= await self._ask(self._client.sh_get(part, self.tkn))
            if len(found) == len(names):  # else one has gone meanwhile, and may have come back as another
                break
        return sorted(filter(None, itertools.starmap(_member, found.items())), key=lambda member: int(member.key))

    async def has(self, key: str) -> bool:
        """Tell whether there is a member of this key."""
        return bool(await self._ask(self._client.sh_contains([key], self.tkn)))

    async def put(self, member: Member) -> None:
        """Write a member, over one of its key."""
        await self._ask(self._client.sh_set({member.key: [member.tkn, member.at]}, self.tkn))

    async def add(self, member: Member) -> None:
        """Write a member, unless there is one of its key."""
        await self._ask(self._client.sh_add({member.key: [member.tkn, member.at]}, self.tkn))

    async def remove(self, keys: Iterable[str]) -> None:
        """Remove the members of these keys; those that are missing do no harm."""
        for part in self._parts([*keys]):
            await self._ask(self._client.sh_rmv(part, self.tkn))

    def _parts(self, keys: Sequence[str]) -> Iterator[Sequence[str]]:
        """Divide keys among as many frames as it takes."""
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
    """Finds the set of a name, and makes it where there is none."""

    def __init__(self, client: NdbClient) -> None:
        self._client = client

    async def use(self, name: str, work: Callable[[IndexSet], Awaitable[T]]) -> T:
        """Return what `work` makes of the set of a name, which is made if there is none; begun anew if it vanishes.

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
                continue  # it ended meanwhile: the next name has the set that took its place, if there is one
        raise ProtocolError("the server ends sessions as soon as they are created, so that no index can be kept")

    async def consult(self, name: str, work: Callable[[IndexSet], Awaitable[T]]) -> T | None:
        """Return what `work` makes of the set of a name, or None if there is none, as where it vanishes."""
        for key in _numbered(name):
            tkn = await self._named(key)
            if tkn is None:
                return None
            try:
                return await work(IndexSet(self._client, tkn))
            except MissingSetError:
                continue  # it ended meanwhile: the next name has the set that took its place, if there is one
        return None

    async def _named(self, key: str) -> SessionToken | None:
        """Return the token under a name. What is none, which somebody else wrote, is a set that is gone."""
        found = await self._client.kv_get([key])
        if key not in found:
            return None
        tkn = found[key]
        return tkn if isinstance(tkn, int) and is_token(tkn) else NOBODY

    async def _make(self, key: str) -> SessionToken:
        """Create a set and name it; return the one that has the name, which may be another's."""
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
        """Give a set a name, unless another one has it; return the one that has it."""
        await self._client.kv_add({key: mine})
        return await self._named(key)

    async def _name_or_end(self, key: str, mine: SessionToken) -> None:
        """Name a set after all, for the next who looks for the name; end it if another one has the name."""
        if await self._name(key, mine) not in (None, mine):
            await self._client.end_surely(mine)


def _numbered(name: str) -> Iterator[str]:
    """Yield the keys under which a name's sets stand, the first one's first."""
    yield name
    yield from (f"{name}:{number}" for number in itertools.count(1))


def name_of(key: str) -> str:
    """Return the name that a key of `Directory` stands for, where names have no number of their own."""
    name, _, number = key.rpartition(":")
    return name if len(number) < _SHORTEST and number.isdecimal() else key


# Hashes are longer than any number gets.
_SHORTEST: Final = 12
