"""Finds sessions by their values, and corrects the index where it lists sessions wrongly.

An index entry is a hint; the session decides. So every session is looked at before it is returned or ended. A false
entry is removed once it cannot become true any more, see `index.entries`. If its session is an unfinished creation, the
creation is ended first, so that it can never be finished.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Generic, NamedTuple, TypeVar

from ndb_models.errors import InvalidArgumentError, NdbError, SessionGoneError, UnusableSessionError
from ndb_models.index.catalogue import EntrySet
from ndb_models.index.entries import Fate, IndexEntry, fate_of, sessions_in_all
from ndb_models.index.index import Index
from ndb_models.index.session_state import GONE, LIVING, UNFINISHED, SeenSession
from ndb_models.schema.lookup import LookupValue
from ndb_models.schema.model import SessionModel
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.bulk import in_bulk
from ndb_models.sessions.common_reads import CommonReads
from ndb_models.sessions.reading import LOOK, UPKEEP, USE, Read, ReadEffect
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)
R = TypeVar("R")


class Listing(NamedTuple):
    """A value, and its entries in the index."""

    value: LookupValue
    entries: Sequence[IndexEntry]

    def __repr__(self) -> str:
        return f"Listing({self.value!r}, {len(self.entries)} entries)"


class Finder(Generic[M]):
    """Finds sessions of one schema.

    Args:
        name: the name of the class, for errors.
        common: makes the models of most reads.
        access: the access to the sessions of the schema.
        index: the index of the schema, or None if the class has no lookup field.
        get: returns the session of a token, as `Repository.get`.
        take: makes a model of a read. With `rewrites`, an upgrade may be written back at once.
        end: ends a session and removes its entries; returns False if it has ended already.
    """

    def __init__(
        self,
        name: str,
        common: CommonReads[M],
        access: SessionAccess,
        index: Index | None,
        get: Callable[..., Awaitable[M]],
        take: Callable[..., Awaitable[M]],
        end: Callable[[SeenSession], Awaitable[bool]],
    ) -> None:
        self._name = name
        self._codec = common.codec
        self._access = access
        self._index = index
        self._common = common.model
        self._get = get
        self._take = take
        self._end_seen = end

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

    def values(self, given: Mapping[str, object]) -> list[LookupValue]:
        """Return the values to look for, unique ones first.

        Raises:
            InvalidArgumentError: a name is not that of a lookup field, or a value does not fit its field.
        """
        index = self.index
        if not given or not index.lookups.keys() >= given.keys():
            raise InvalidArgumentError(self._misnamed(given))
        values: list[LookupValue] = []
        for name in index.fields:
            if name in given:
                value = index.value(name, self._codec.text_of_value(name, given[name]))
                if value is None:
                    raise InvalidArgumentError(f"{self._name}.{name}: None is not looked up")
                values.append(value)
        return values

    def _misnamed(self, given: Mapping[str, object]) -> str:
        """Return why values with these names cannot be looked for."""
        known = ", ".join(self.index.fields)
        for name in given:
            if name not in self.index.lookups:
                return f"{self._name} has no Lookup field {name!r}; it has {known}"
        return f"name at least one field to look for; {self._name} has {known}"

    async def find(
        self, values: Sequence[LookupValue], reading: ReadEffect, limit: int | None = None, *, newest: bool = False
    ) -> list[M]:
        """Return the sessions that have all these values: at most one if a value is unique, and at most `limit`.

        Returned sessions are read in the mode `reading`. Others are only looked at. `newest` reverses the order.

        Raises:
            StoredDataError: the stored data of a session does not fit the model.
        """
        results = await self._rounds(values, partial(self._read, values, reading), (), limit, newest=newest)
        found = [session for session in results if session is not None]
        return found[:1] if self.is_unique(values) else found

    async def _read(
        self, values: Sequence[LookupValue], reading: ReadEffect, tkn: SessionToken
    ) -> tuple[SeenSession | None, M | None]:
        """Return the session of an entry if it has the values, or else how it was seen."""
        examiner = self.index.examiner
        try:
            begun = self._access.begin_read(tkn, self._codec.names, LOOK if reading is LOOK else UPKEEP)
            read = begun if isinstance(begun, Read) else await begun
        except UnusableSessionError as exc:
            return examiner.unusable(tkn, exc), None
        if read.is_common and self._codec.reads_as_stored:
            are_stored = all(map(LookupValue.is_in, values, repeat(read.members)))
            session = self._common(tkn, read) if are_stored else None
            if session is not None:
                if reading is USE:
                    self._access.use(tkn, read)
                return None, session
        seen = await examiner.living(tkn, read)
        return await self._read_closely(values, reading, seen, read) if all(map(seen.has, values)) else (seen, None)

    async def _read_closely(
        self, values: Sequence[LookupValue], reading: ReadEffect, seen: SeenSession, read: Read
    ) -> tuple[SeenSession | None, M | None]:
        """Work as `_read` for a session that has the values as it is stored, or else as its class reads it."""
        tkn = seen.tkn
        try:
            if self._codec.open:
                session = await self._get(tkn, extend=reading is USE)
            else:
                session = await self._take(tkn, await self._access.admitted(tkn, read), rewrites=reading is USE)
        except SessionGoneError:  # it ended meanwhile, or because it does not fit
            return SeenSession(tkn, GONE, {}), None
        texts = self._codec.texts(session, [value.field for value in values])
        if not all(value.is_in(texts) for value in values):  # it has the values only as stored
            return seen, None
        if reading is USE and not self._codec.open:
            self._access.use(tkn, read)
        return None, session

    def is_unique(self, values: Sequence[LookupValue]) -> bool:
        """Return True if at most one session can have all these values."""
        return self.index.lookups[values[0].field].unique

    async def end(self, values: Sequence[LookupValue], but: Collection[SessionToken]) -> int:
        """End the sessions that have all these values, or are being created with them. Return their number."""
        return sum(await self._rounds(values, partial(self._end, values), but))

    async def keep_newest(self, keys: Mapping[str, bytes]) -> None:
        """End the oldest sessions beyond the limit of each value in these keys.

        A session that is being created does not count yet: its own creation calls this once it is whole.
        """
        for value in self.index.values(keys).values():
            limit = self.index.lookups[value.field].limit
            listing = await self.listing(value) if limit is not None else None
            if listing is None or limit is None or len(listing.entries) <= limit:
                continue
            states = await self._each(sessions_in_all([listing.entries], claims=False), partial(self._has, value))
            having = [tkn for tkn, has in states if has]
            await self._each(having[:-limit], partial(self._end, [value]))

    async def _has(self, value: LookupValue, tkn: SessionToken) -> tuple[SessionToken, bool]:
        seen = await self.index.examiner.examine(tkn)
        return tkn, seen.reads_as(value)

    async def _end(self, values: Sequence[LookupValue], tkn: SessionToken) -> tuple[SeenSession | None, bool]:
        """End a session if it has the values. Return how it was seen, unless its entries are done with.

        The result is True if this call ended it.
        """
        seen = await self.index.examiner.examine(tkn)
        if seen.state is not UNFINISHED and not all(map(seen.reads_as, values)):
            return seen, False
        ended = await self._end_seen(seen)
        return None if ended and seen.state is LIVING else SeenSession(tkn, GONE, {}), ended

    async def _rounds(
        self,
        values: Sequence[LookupValue],
        work: Callable[[SessionToken], Awaitable[tuple[SeenSession | None, R]]],
        but: Collection[SessionToken],
        most: int | None = None,
        *,
        newest: bool = False,
    ) -> list[R]:
        """Return the result of `work` for each session listed under these values, and remove false entries.

        With `most`, only for as many sessions as needed for that many results other than None; `newest` begins with
        those listed last.

        `work` returns how a session was seen if its entries may be false, and its result, which is True if it ended the
        session. A session that ended in another way may have a new token, which was listed before the old session
        ended. So the lists are read again, and `work` gets the sessions that are new in them too.
        """
        done = {*but}
        results: list[R] = []
        gone = True
        while gone:
            listings = await self._listings(values)
            listed = sessions_in_all([listing.entries for listing in listings], claims=self.is_unique(values))
            tokens = [tkn for tkn in (reversed(listed) if newest else listed) if tkn not in done]
            wanted = len(tokens) if most is None else most - sum(result is not None for result in results)
            is_cut, tokens = wanted < len(tokens), tokens[:wanted]
            done.update(tokens)
            latest = await self._each(tokens, work)
            results += [result for _, result in latest]
            doubtful = {seen.tkn: seen for seen, _ in latest if seen is not None}
            gone = is_cut and any(result is None for _, result in latest)
            if doubtful:
                await self._prune(listings, doubtful)
                gone |= any(seen is not None and seen.state is GONE and result is not True for seen, result in latest)
        return results

    async def _listings(self, values: Sequence[LookupValue]) -> list[Listing]:
        """Return the listing of each value. If a value has no set, return an empty list."""
        listings: list[Listing] = []
        for value in values:
            listing = await self.listing(value)
            if listing is None:
                return []
            listings.append(listing)
        return listings

    async def listing(self, value: LookupValue) -> Listing | None:
        """Return the listing of a value, or None if it has no set."""
        entries = await self.index.catalogue.use(value.name, EntrySet.entries)
        return None if entries is None else Listing(value, entries)

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

    async def _prune(self, listings: Iterable[Listing], seen: Mapping[SessionToken, SeenSession]) -> None:
        with contextlib.suppress(NdbError):  # the next reader finds out about stale entries
            for listing in listings:
                await self.prune(listing, seen)

    async def prune(self, listing: Listing, seen: Mapping[SessionToken, SeenSession], *, at_once: bool = False) -> int:
        """Remove false entries that will not become true. Return how many were removed.

        Args:
            listing: the entries of a value.
            seen: the sessions as they were seen. Entries of other sessions are left alone.
            at_once: True if no other process is writing sessions, so that entries of any age may go.
        """
        value, now = listing.value, self.index.now()
        false: list[IndexEntry] = []
        for entry in listing.entries:
            if entry.tkn in seen:
                fate = fate_of(entry, seen[entry.tkn], value, now, at_once=at_once)
                if fate is Fate.REMOVE or (fate is Fate.END_CREATION and await self.index.abandon(entry.tkn)):
                    false.append(entry)
        if false:
            await self.index.drop(value, {(entry.key, entry.tkn) for entry in false})
        for entry in false:
            if seen[entry.tkn].state is LIVING:
                await self.index.restore(value, entry.tkn)
        return len(false)
