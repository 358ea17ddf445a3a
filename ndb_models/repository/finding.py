"""Finding sessions by their values, and putting right what the index says of sessions that are not there.

Every session is looked at before it is returned or ended: an entry counts for nothing by itself. One that is false is
removed where nobody can be about to make it true: at once if its session is gone, else once it is `SETTLING` seconds
old; and of a creation that came to no end only after that has been ended, so that it cannot come to one yet.
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
    """A value, and what the index lists under it."""

    value: Value
    entries: IndexSet
    members: Sequence[Member]

    def __repr__(self) -> str:
        return f"Listing({self.value!r}, {len(self.members)} members)"


class Finder(Generic[M]):
    """Finds sessions of one schema.

    Args:
        name: that of the class, for errors.
        codec: of the class.
        access: to the sessions of the schema.
        index: of the same; None where the class has no field that is looked up.
        names: returns the names of the keys that a session has.
        take: makes a model of what was read; `rewrites` tells whether an upgrade may be written back at once.
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
            InvalidArgumentError: there is none.
        """
        if self._index is None:
            raise InvalidArgumentError(
                f"{self._name} has no field that is looked up; declare one: user_id: Annotated[int, Lookup()]"
            )
        return self._index

    def values(self, given: Mapping[str, object]) -> list[Value]:
        """Return the values that are looked for, unique ones first.

        Raises:
            InvalidArgumentError: a name is not that of a field that is looked up, or a value does not fit its field.
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
                value = index.value(name, self._codec.field_text(name, given[name]))
                if value is None:
                    raise InvalidArgumentError(f"{self._name}.{name}: None is not looked up")
                values.append(value)
        return values

    async def find(self, values: Sequence[Value], reading: Reading) -> list[M]:
        """Return the sessions that have all these values; of a unique one, none or one.

        Those that are returned are read so; others are only looked at.

        Raises:
            StoredDataError: what is stored of one does not fit the model.
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
        except SessionGoneError:  # meanwhile, or because it does not fit
            return Sighting(tkn, Standing.GONE, {}), None
        return sighting, session if self._has(session, values) else None

    def _has(self, session: M, values: Sequence[Value]) -> bool:
        """Tell whether a session that has these values, maybe as it is stored alone, has them as its class reads it."""
        texts = self._codec.texts(session, [value.field for value in values])
        return all(is_among(value, texts) for value in values)

    def is_unique(self, values: Sequence[Value]) -> bool:
        """Tell whether at most one session can have all these values."""
        return self.index.lookups[values[0].field].unique

    async def end(self, values: Sequence[Value], but: Collection[SessionToken]) -> int:
        """End the sessions that have all these values, and those that are being created with them; return how many."""
        ended = await self._rounds(values, partial(self._end, values), but)
        return sum(ended_here for _, ended_here in ended)

    async def _end(self, values: Sequence[Value], tkn: SessionToken) -> tuple[Sighting, bool]:
        """End a session if it has the values; return whether this was what ended it."""
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
        """Return what `work` returns for each session that is listed under these values, and remove false entries.

        A session that is gone, and not by `work` (which then returns True), may have been given another token, which
        was listed before that: so those are looked at too that were not listed the first time.
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
        """Return what is listed under each value; nothing if there is nothing under one of them."""
        listings: list[Listing] = []
        for value in values:
            listing = await self.index.directory.consult(value.name, partial(list_members, value))
            if listing is None:
                return []
            listings.append(listing)
        return listings

    async def _each(self, tokens: Iterable[SessionToken], work: Callable[[SessionToken], Awaitable[R]]) -> list[R]:
        """Return what `work` returns for each, after it was tried for all.

        Raises:
            NdbError: the first error that it raised.
        """
        results: list[R] = []
        for result in await in_bulk(work, tokens, None):
            if isinstance(result, NdbError):
                raise result
            results.append(result)
        return results

    async def _prune(self, listings: Iterable[Listing], seen: Iterable[Sighting]) -> None:
        sightings = {sighting.tkn: sighting for sighting in seen}
        with contextlib.suppress(NdbError, MissingSetError):  # what is left is found out by the next who looks
            for listing in listings:
                await self.prune(listing, sightings)

    async def prune(self, listing: Listing, seen: Mapping[SessionToken, Sighting], *, at_once: bool = False) -> int:
        """Remove the entries of a value that are false, as far as nobody can be about to make them true.

        Args:
            listing: the value, and what was listed under it.
            seen: what the sessions were found to be; those of others are left alone.
            at_once: nobody is about to do anything.

        Returns how many were removed.
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
    """Return what is listed under a value."""
    return Listing(value, entries, await entries.members())


def _common(listings: Sequence[Listing], *, claims: bool) -> list[SessionToken]:
    """Return the sessions that are in all listings, each once: the oldest entries first, of claims the highest."""
    if not listings:
        return []
    first = listings[0].members
    ordered = reversed(first) if claims else sorted(first, key=lambda member: (member.at, member.tkn))
    others = [{member.tkn for member in listing.members} for listing in listings[1:]]
    tokens = dict.fromkeys(member.tkn for member in ordered if member.tkn != NOBODY)
    return [tkn for tkn in tokens if all(tkn in other for other in others)]
