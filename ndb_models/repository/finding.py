"""Finds sessions by their values, and corrects the index where it lists sessions wrongly.

An index entry is a hint; the session decides. So every session is looked at before it is returned or ended. A false
entry is removed once it cannot become true any more. If its session is gone, that is at once; otherwise it is when the
entry is `SETTLING` seconds old. If its creation is unfinished, the creation is ended first, so that it can never be
finished.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from ndb_models.errors import InvalidArgumentError, NdbError, SessionGoneError
from ndb_models.repository.access import SessionAccess
from ndb_models.repository.bulk import in_bulk
from ndb_models.repository.directory import NOBODY, IndexSet, Member, MissingSetError
from ndb_models.repository.index import Index
from ndb_models.repository.reading import Reading
from ndb_models.repository.standing import Sighting, Standing, Value, is_among
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.model import SessionModel
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)
R = TypeVar("R")


class Listing(NamedTuple):
    """A value, and its entries in the index."""

    value: Value
    entries: IndexSet
    members: Sequence[Member]

    def __repr__(self) -> str:
        return f"Listing({self.value!r}, {len(self.members)} members)"


class Finder(Generic[M]):
    """Finds sessions of one schema.

    Args:
        name: the name of the class, for errors.
        codec: the codec of the class.
        access: the access to the sessions of the schema.
        index: the index of the schema, or None if the class has no lookup field.
        names: returns the names of the keys to read of a session.
        take: makes a model of a read. With `rewrites`, an upgrade may be written back at once.
    """

    def __init__(
        self,
        name: str,
        codec: ModelCodec[M],
        access: SessionAccess,
        index: Index | None,
        names: Callable[[SessionToken], Awaitable[tuple[str, ...]]],
        take: Callable[..., Awaitable[M]],
    ) -> None:
        self._name = name
        self._codec = codec
        self._access = access
        self._index = index
        self._names = names
        self._take = take

    @property
    def index(self) -> Index:
        """The index.

        Raises:
            InvalidArgumentError: the class has no lookup field.
        """
        if self._index is None:
            raise InvalidArgumentError(
                f"{self._name} has no field that is looked up; declare one: user_id: Annotated[int, Lookup()]"
            )
        return self._index

    def values(self, given: Mapping[str, object]) -> list[Value]:
        """Return the values to look for, unique ones first.

        Raises:
            InvalidArgumentError: a name is not that of a lookup field, or a value does not fit its field.
        """
        index = self.index
        known = ", ".join(index.fields)
        for name in given:
            if name not in index.lookups:
                raise InvalidArgumentError(f"{self._name} has no Lookup field {name!r}; it has {known}")
        if not given:
            raise InvalidArgumentError(f"name at least one field to look for; {self._name} has {known}")
        values: list[Value] = []
        for name in index.fields:
            if name in given:
                value = index.value(name, self._codec.fields.text(name, given[name]))
                if value is None:
                    raise InvalidArgumentError(f"{self._name}.{name}: None is not looked up")
                values.append(value)
        return values

    async def find(self, values: Sequence[Value], reading: Reading) -> list[M]:
        """Return the sessions that have all these values: at most one if a value is unique.

        Returned sessions are read in the mode `reading`. Others are only looked at.

        Raises:
            StoredDataError: the stored data of a session does not fit the model.
        """
        rounds = await self._rounds(values, partial(self._read, values, reading), ())
        found = [session for _, session in rounds if session is not None]
        return found[:1] if self.is_unique(values) else found

    async def _read(self, values: Sequence[Value], reading: Reading, tkn: SessionToken) -> tuple[Sighting, M | None]:
        """Return the session of an entry, if it has the values."""
        looking = Reading.LOOK if reading is Reading.LOOK else Reading.UPKEEP
        sighting, read = await self.index.examiner.read(tkn, looking)
        if read is None or not all(map(sighting.has, values)):
            return sighting, None
        try:
            if self._codec.open or (reading is Reading.USE and self._access.is_to_extend(read)):
                read = await self._access.read(tkn, await self._names(tkn), reading)
            else:
                read = await self._access.admitted(tkn, read)
            session = await self._take(tkn, read, rewrites=reading is Reading.USE)
        except SessionGoneError:  # it ended meanwhile, or because it does not fit
            return Sighting(tkn, Standing.GONE, {}), None
        return sighting, session if self._has(session, values) else None

    def _has(self, session: M, values: Sequence[Value]) -> bool:
        """Return True if a model has these values. Its session has them, perhaps only as stored."""
        texts = self._codec.texts(session, [value.field for value in values])
        return all(is_among(value, texts) for value in values)

    def is_unique(self, values: Sequence[Value]) -> bool:
        """Return True if at most one session can have all these values."""
        return self.index.lookups[values[0].field].unique

    async def end(self, values: Sequence[Value], but: Collection[SessionToken]) -> int:
        """End the sessions that have all these values, or are being created with them. Return their number."""
        ended = await self._rounds(values, partial(self._end, values), but)
        return sum(ended_here for _, ended_here in ended)

    async def _end(self, values: Sequence[Value], tkn: SessionToken) -> tuple[Sighting, bool]:
        """End a session if it has the values. The result is True if this call ended it."""
        sighting = await self.index.examiner.examine(tkn)
        if sighting.standing is not Standing.UNFINISHED and not all(map(sighting.reads_as, values)):
            return sighting, False
        ended = await self._access.end(tkn)
        await self.index.forget(sighting)
        return Sighting(tkn, Standing.GONE, {}), ended

    async def _rounds(
        self,
        values: Sequence[Value],
        work: Callable[[SessionToken], Awaitable[tuple[Sighting, R]]],
        but: Collection[SessionToken],
    ) -> list[tuple[Sighting, R]]:
        """Return the result of `work` for each session listed under these values, and remove false entries.

        A session may be gone otherwise than by `work`, which returns True after ending one. It may then have a new
        token, which was listed before the old session ended. So the lists are read again, and sessions that are new in
        them are looked at too.
        """
        seen = {*but}
        results: list[tuple[Sighting, R]] = []
        gone = True
        while gone:
            listings = await self._listings(values)
            tokens = [tkn for tkn in _common(listings, claims=self.is_unique(values)) if tkn not in seen]
            seen.update(tokens)
            latest = await self._each(tokens, work)
            await self._prune(listings, [sighting for sighting, _ in latest])
            results += latest
            gone = any(sighting.standing is Standing.GONE and result is not True for sighting, result in latest)
        return results

    async def _listings(self, values: Sequence[Value]) -> list[Listing]:
        """Return the listing of each value. If a value has no set, return an empty list."""
        listings: list[Listing] = []
        for value in values:
            listing = await self.index.directory.consult(value.name, partial(list_members, value))
            if listing is None:
                return []
            listings.append(listing)
        return listings

    async def _each(self, tokens: Iterable[SessionToken], work: Callable[[SessionToken], Awaitable[R]]) -> list[R]:
        """Return the result of `work` for each token, after trying all of them.

        Raises:
            NdbError: the first error that `work` raised.
        """
        results: list[R] = []
        for result in await in_bulk(work, tokens, None):
            if isinstance(result, NdbError):
                raise result
            results.append(result)
        return results

    async def _prune(self, listings: Iterable[Listing], seen: Iterable[Sighting]) -> None:
        sightings = {sighting.tkn: sighting for sighting in seen}
        with contextlib.suppress(NdbError, MissingSetError):  # the next reader finds out about leftover entries
            for listing in listings:
                await self.prune(listing, sightings)

    async def prune(self, listing: Listing, seen: Mapping[SessionToken, Sighting], *, at_once: bool = False) -> int:
        """Remove the false entries of a value that cannot become true any more. Return their number.

        Args:
            listing: the value, and its entries.
            seen: the sessions as they were seen. Entries of other sessions are left alone.
            at_once: True if no other process is writing sessions, so that entries of any age may go.
        """
        false: list[Member] = []
        for member in listing.members:
            sighting = seen.get(member.tkn)
            if sighting is None or sighting.has(listing.value):
                continue
            if sighting.standing is not Standing.GONE:
                if not (at_once or self.index.examiner.is_settled(member)):
                    continue
                if sighting.standing is Standing.UNFINISHED and not await self.index.abandon(member.tkn):
                    continue
            false.append(member)
        if false:
            await self.index.drop(listing.value, {(member.key, member.tkn) for member in false})
        for member in false:
            if seen[member.tkn].standing is Standing.LIVING:
                await self.index.restore(listing.value, member.tkn)
        return len(false)


async def list_members(value: Value, entries: IndexSet) -> Listing:
    """Return the listing of a value."""
    return Listing(value, entries, await entries.members())


def _common(listings: Sequence[Listing], *, claims: bool) -> list[SessionToken]:
    """Return the sessions that are in all listings, each once. Oldest entries come first, of claims the highest."""
    if not listings:
        return []
    first = listings[0].members
    ordered = reversed(first) if claims else sorted(first, key=lambda member: (member.at, member.tkn))
    others = [{member.tkn for member in listing.members} for listing in listings[1:]]
    tokens = dict.fromkeys(member.tkn for member in ordered if member.tkn != NOBODY)
    return [tkn for tkn in tokens if all(tkn in other for other in others)]
