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

import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.errors import NdbError, ProtocolError, ResponseError
from ndb_models.index.stored_entries import VACANT, IndexEntry, entries_in, numbered
from ndb_models.json_text import NO_MEMBERS, UNREADABLE, ObjectText
from ndb_models.protocol.commands import COMMANDS, MAX_TOKEN
from ndb_models.protocol.prepared import NO_PARAMETERS, NamesRequest, Prepared, naming, unreadable
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.raising import raise_without_context
from ndb_models.sessions.creation import create_together
from ndb_models.sessions.keys_read import keys_read
from ndb_models.sessions.splitting import split_by_size, split_names
from ndb_models.tokens import draw_token
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
_SH_KEYS: Final = COMMANDS["SH_KEYS"]
_SH_NEW_SET: Final = COMMANDS["SH_NEW_SET"]
_SH_RMV: Final = COMMANDS["SH_RMV"]
_SH_SET: Final = COMMANDS["SH_SET"]

_encode = msgspec.json.Encoder().encode
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
            names, found = (await self._perform(NamesRequest(_SH_KEYS, self.tkn)))["keys"], {}
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
            await self._perform(Prepared(_SH_RMV, self.tkn, naming(tuple(part))))

    async def _ask(self, asking: Coroutine[Any, Any, T]) -> T:
        try:
            return await asking
        except ResponseError as exc:
            if exc.status == Status.SESSION_NOT_EXIST:
                raise MissingSetError from exc
            raise

    async def _perform(self, request: Prepared) -> Mapping[str, Any]:
        begun = self._client.begin(request)
        answer = begun if isinstance(begun, dict) else await begun
        if answer["st"] != OK_STATUS:
            raise MissingSetError if answer["st"] == Status.SESSION_NOT_EXIST else failure(request.command, answer)
        return answer

    def _parts(self, keys: Sequence[str]) -> Sequence[Sequence[str]]:
        """Divide keys among as many frames as needed."""
        limit = self._client.max_payload
        if limit is None:
            return (keys,) if keys else ()
        size = max(1, (limit - _FRAME) // _ENTRY)
        return [keys[start : start + size] for start in range(0, len(keys), size)]


def _values(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an answer with their values."""
    try:
        return _decode_keys(answer["keys"].text)
    except UNREADABLE:
        raise_without_context(unreadable("a read of the index"))


class NewSet(msgspec.Struct, frozen=True, gc=False):
    """A set to be made, and its first entry, which is in it before it has a name.

    If naming it is cut short, the entry `withdrawn` replaces the first one.
    """

    tkn: SessionToken
    first: IndexEntry
    withdrawn: IndexEntry | None = None

    @property
    def request(self) -> Prepared:
        """The request that creates its session."""
        return Prepared(_SH_NEW_SET, self.tkn, NO_PARAMETERS, self.first.as_keys)

    def __repr__(self) -> str:
        return f"NewSet({self.first!r})"


class Catalogue:
    """Finds the entry sets of names, and makes missing ones."""

    def __init__(self, client: NdbClient) -> None:
        self._client = client

    async def tokens(self, names: Sequence[str]) -> dict[str, SessionToken]:
        """Return the tokens under these names, where there are any.

        A value that is not a token counts as that of a set that is gone.
        """
        found: dict[str, SessionToken] = {}
        limit, names = self._client.max_payload, tuple(names)
        for part in [names] if limit is None else split_names(_KV_GET, names, None, limit):
            begun = self._client.begin(keys_read(_KV_GET, part))
            answer = begun if isinstance(begun, dict) else await begun
            if answer["st"] != OK_STATUS:
                raise failure(_KV_GET, answer)
            if answer["keys"].text == NO_MEMBERS:  # as for every new value
                continue
            for name, tkn in _values(answer).items():
                found[name] = tkn if type(tkn) is int and 0 <= tkn <= MAX_TOKEN else VACANT
        return found

    async def use(
        self,
        name: str,
        work: Callable[[EntrySet], Awaitable[T]],
        first: IndexEntry | None = None,
        withdrawn: IndexEntry | None = None,
        at: SessionToken | None = None,
    ) -> T | None:
        """Return the result of `work` for the set of a name. If the set vanishes, `work` begins anew with the next set.

        Args:
            name: the name.
            work: is given the set.
            first: if there is no set, one is made that holds this entry alone. The result is None then, and also if
                there is neither a set nor a first entry.
            withdrawn: replaces the first entry, in the background, if the making is cut short.
            at: the token under the name, if it is known.
        """
        keys = numbered(name)
        while True:
            key = next(keys)
            tkn, at = at or (await self.tokens((key,))).get(key), None
            if tkn is None:
                if first is None:
                    return None
                new = await self._created(NewSet(draw_token(), first, withdrawn))
                tkn = (await self.name({key: new}))[key]
                if tkn == new.tkn:
                    return None
            try:
                return await work(EntrySet(self._client, tkn))
            except MissingSetError:
                continue  # its successor, if any, stands under the next name

    async def _created(self, new: NewSet) -> NewSet:
        """Create a set, which has another token if the server gives it one."""
        if await create_together(self._client, [new.request]):
            return new
        tkn = (await self._client.sh_create_session()).tkn
        try:
            await EntrySet(self._client, tkn).put(new.first)
        except MissingSetError:
            raise ProtocolError("the server ends sessions as soon as they are created") from None
        except BaseException:
            self._client.end_soon(tkn)
            raise
        return NewSet(tkn, new.first, new.withdrawn)

    async def name(self, sets: Mapping[str, NewSet], *, is_last: bool = False) -> dict[str, SessionToken]:
        """Name new sets, unless other sets have the names. Return the sets that have the names, and end the others.

        If this is cut short, it is done once more in the background, unless `is_last`.
        """
        tokens = {key: new.tkn for key, new in sets.items()}
        names = tuple(tokens)
        try:
            for part in self._name_parts(ObjectText(_encode(tokens), names)):
                begun = self._client.begin(Prepared(_KV_ADD, None, NO_PARAMETERS, part))
                answer = begun if isinstance(begun, dict) else await begun
                if answer["st"] != OK_STATUS:
                    raise failure(_KV_ADD, answer)
            named = await self.tokens(names)
            if len(named) < len(tokens):
                raise ProtocolError("a shared key of the index was removed as soon as it was added")
        except BaseException:
            if not is_last:
                self._client.in_background(self._name_or_end(sets))
            raise
        if named != tokens:
            for key, tkn in tokens.items():
                if named[key] != tkn:
                    self._client.end_soon(tkn)
        return named

    def _name_parts(self, names: ObjectText) -> Sequence[ObjectText]:
        """Divide new names among as many frames as needed."""
        limit = self._client.max_payload
        if limit is None:
            return [names]
        return [ObjectText.joined(part) for part in split_by_size("index", _KV_ADD, names.items(), limit)]

    async def _name_or_end(self, sets: Mapping[str, NewSet]) -> None:
        """Name sets after all, for the next search for the names. End the sets whose names others have."""
        for new in sets.values():
            if new.withdrawn is not None:
                with contextlib.suppress(MissingSetError):
                    await EntrySet(self._client, new.tkn).put(new.withdrawn)
        await self.name(sets, is_last=True)


def name_of(key: str) -> str:
    """Return the name that a key of the catalogue stands for. The name itself must not end in a short number."""
    name, _, number = key.rpartition(":")
    return name if len(number) < _SHORTEST and number.isdecimal() else key


# Numbers stay shorter than this, and hashes are longer.
_SHORTEST: Final = 12
