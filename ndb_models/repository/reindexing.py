"""Walks through the whole index of a schema, and corrects the entries that became false unnoticed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from ndb_models.errors import NdbError, SessionGoneError
from ndb_models.repository.bulk import Progress, in_bulk
from ndb_models.repository.directory import NOBODY, IndexSet, name_of
from ndb_models.repository.finding import Finder, list_members
from ndb_models.repository.standing import Sighting, Standing, Value
from ndb_models.schema.lookup import digest_in, index_prefix
from ndb_models.schema.model import SessionModel
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

    def _named(self, keys: Iterable[str]) -> list[Value]:
        """Return the values that have sets."""
        names = sorted({name_of(key) for key in keys})
        found = (
            (field, digest_in(name, index_prefix(self._index.schema, field)))
            for name in names
            for field in self._index.fields
        )
        return [self._index.hashed(field, hashed) for field, hashed in found if hashed is not None]

    async def _mend(self, value: Value) -> None:
        listing = await self._index.directory.consult(value.name, partial(list_members, value))
        if listing is None:
            return
        seen: dict[SessionToken, Sighting] = {}
        for tkn in {member.tkn for member in listing.members} - {NOBODY}:
            sighting = seen[tkn] = await self._index.examiner.examine(tkn)
            if sighting.standing is Standing.LIVING:
                await self._add_missing(sighting)
        self._done.removed += await self._finder.prune(listing, seen, at_once=self._exclusive)

    async def _take_up(self, tkn: SessionToken) -> None:
        sighting, _ = await self._index.examiner.look(tkn)
        await self._add_missing(sighting)

    async def _add_missing(self, sighting: Sighting) -> None:
        if sighting.tkn in self._seen:
            return
        self._seen.add(sighting.tkn)
        self._done.sessions += 1
        for value in self._index.values_of(sighting):
            if not await self._index.is_listed(value, sighting.tkn):
                try:
                    await self._index.add(value, sighting.tkn)
                except NdbError as exc:
                    self._done.problems.append(exc)
                else:
                    self._done.added += 1

    async def _remove_empty(self, keys: Iterable[str]) -> None:
        """Remove sets without members, and then their names, so that no set is left without a name."""
        standing: dict[str, list[str]] = {}
        for key in keys:
            standing.setdefault(name_of(key), []).append(key)
        for value in self._named(keys):
            emptied = await self._index.directory.consult(value.name, self._end_empty)
            if emptied is not False:
                await self._index.client.kv_rmv(standing[value.name])

    async def _end_empty(self, entries: IndexSet) -> bool:
        if any(member.tkn != NOBODY for member in await entries.members()):
            return False
        await self._index.access.end(entries.tkn)
        return True
