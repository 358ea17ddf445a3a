"""Walks through the whole index of a schema, and corrects the entries that became false unnoticed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ndb_models.errors import NdbError, SessionGoneError
from ndb_models.index.catalogue import EntrySet, name_of
from ndb_models.index.entries import VACANT
from ndb_models.index.finding import Finder
from ndb_models.index.session_state import LIVING, SeenSession
from ndb_models.schema.lookup import LookupValue, digest_in, index_prefix
from ndb_models.schema.model import SessionModel
from ndb_models.sessions.bulk import Progress, in_bulk
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)


@dataclass
class Reindexed:
    """The result of `Repository.reindex`.

    Attributes:
        sessions: number of living sessions that the index lists, or that were given by token.
        added: number of missing entries that were added.
        removed: number of false entries that were removed.
        problems: errors of single sessions: a `DuplicateError` if another session has a unique value, and errors of
            reading the sessions of given tokens. A session that is gone is not a problem.
    """

    sessions: int = 0
    added: int = 0
    removed: int = 0
    problems: list[NdbError] = field(default_factory=list)


class Reindexing:
    """One walk through the index.

    Args:
        finder: the finder of the sessions.
        exclusive: no other process writes sessions of the schema meanwhile. Empty sets are then removed too.
    """

    def __init__(self, finder: Finder[M], *, exclusive: bool) -> None:
        self._finder = finder
        self._index = finder.index
        self._exclusive = exclusive
        self._seen: set[SessionToken] = set()
        self._done = Reindexed()

    async def run(self, tokens: Iterable[SessionToken], progress: Progress | None) -> Reindexed:
        """Walk through the index, then add the sessions of these tokens. Return the result.

        Raises:
            NdbError: the first error of the walk. Its work so far stays done, and it can be begun anew.
        """
        keys = await self._index.client.kv_keys()
        for result in await in_bulk(self._mend, self._named(keys), progress):
            if isinstance(result, NdbError):
                raise result
        for result in await in_bulk(self._take_up, tokens, progress):
            if isinstance(result, NdbError) and not isinstance(result, SessionGoneError):
                self._done.problems.append(result)
        if self._exclusive:
            await self._remove_empty(keys)
        return self._done

    def _named(self, keys: Iterable[str]) -> list[LookupValue]:
        """Return the values that have sets."""
        names = sorted({name_of(key) for key in keys})
        found = (
            (field, digest_in(name, index_prefix(self._index.schema, field)))
            for name in names
            for field in self._index.fields
        )
        return [self._index.hashed(field, hashed) for field, hashed in found if hashed is not None]

    async def _mend(self, value: LookupValue) -> None:
        listing = await self._finder.listing(value)
        if listing is None:
            return
        seen: dict[SessionToken, SeenSession] = {}
        for tkn in {entry.tkn for entry in listing.entries} - {VACANT}:
            seen[tkn] = await self._index.examiner.examine(tkn)
            if seen[tkn].state is LIVING:
                await self._add_missing(seen[tkn])
        self._done.removed += await self._finder.prune(listing, seen, at_once=self._exclusive)

    async def _take_up(self, tkn: SessionToken) -> None:
        await self._add_missing(await self._index.examiner.examine_living(tkn))

    async def _add_missing(self, session: SeenSession) -> None:
        if session.tkn in self._seen:
            return
        self._seen.add(session.tkn)
        self._done.sessions += 1
        for value in self._index.values_of(session):
            if not await self._index.is_listed(value, session.tkn):
                try:
                    await self._index.add(value, session.tkn)
                except NdbError as exc:
                    self._done.problems.append(exc)
                else:
                    self._done.added += 1

    async def _remove_empty(self, keys: Iterable[str]) -> None:
        """Remove sets without sessions, and then their names, so that no set is left without a name."""
        keys_of: dict[str, list[str]] = {}
        for key in keys:
            keys_of.setdefault(name_of(key), []).append(key)
        for value in self._named(keys):
            emptied = await self._index.catalogue.use(value.name, self._end_empty)
            if emptied is not False:
                await self._index.client.kv_rmv(keys_of[value.name])

    async def _end_empty(self, entries: EntrySet) -> bool:
        if any(entry.tkn != VACANT for entry in await entries.entries()):
            return False
        await self._index.access.end(entries.tkn)
        return True
