"""Unique claims: they decide which session has a unique value.

The entries of a unique value are claims, numbered from 0. A session that wants the value looks at all claims. It gives
up if the session of another claim has the value. Otherwise it adds a claim with the next number; if several do, the
first one's claim stays. The claim holds if it is the highest then. The first claim of all holds once its set has the
name of the value. These rules keep two sessions from both winning, however late a step comes:

- The highest claim is never removed, only made vacant, so the highest number never falls.
- A session may add its claim late, after others took higher numbers and removed this one. It sees the higher claim, and
  gives up.
- An unfinished creation does not hold a value against another session that wants it. That session adds the reserved key
  under which the creation would commit. The creation adds it too, and the first one stays. So the creation either was
  finished and has the value, or never will be. This is why a creation that died holds no value.
- A living session with another value is about to take this one, or to leave it. Its write cannot be stopped, so its
  claim holds for `PENDING_SECONDS` seconds.
- A rotation claims for the new session, and leaves the old session's claim until that session has ended. One of the two
  has the value.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from ndb_models.client import NdbClient
from ndb_models.errors import DuplicateError, UnavailableError
from ndb_models.index.catalogue import Catalogue, EntrySet, MissingSetError
from ndb_models.index.entries import (
    VACANT,
    IndexEntry,
    OtherClaims,
    holds,
    leads,
    next_number,
    release,
    sorted_out,
)
from ndb_models.index.session_state import SeenSession, SessionExaminer
from ndb_models.schema.lookup import LookupValue
from ndb_models.sessions.access import SessionAccess
from ndb_models.types import SessionToken


class UniqueClaims:
    """Makes, keeps and gives up claims to the unique values of one schema.

    Args:
        client: an open client.
        model: the name of the class, for errors.
        access: the access to the sessions of the schema.
        examiner: examines the same sessions.
        catalogue: finds the claims to a value.
        now: returns the time in milliseconds since 1970.
    """

    def __init__(
        self,
        client: NdbClient,
        model: str,
        access: SessionAccess,
        examiner: SessionExaminer,
        catalogue: Catalogue,
        now: Callable[[], int],
    ) -> None:
        self._client = client
        self._model = model
        self._access = access
        self._examiner = examiner
        self._catalogue = catalogue
        self._now = now

    async def claim(
        self,
        value: LookupValue,
        tkn: SessionToken,
        heir_of: SessionToken | None = None,
        at: SessionToken | None = None,
    ) -> str:
        """Claim a value for a session, and remove the claims that this makes void. Return the number of the claim.

        Args:
            value: the value.
            tkn: the session, which has the value or is about to.
            heir_of: the session that this one replaces, if any.
            at: the set of the claims, if it is known.

        Raises:
            DuplicateError: another session has the value.
        """
        first = self.first(tkn)
        work = partial(self._claim, value, tkn, heir_of)
        key = await self._catalogue.use(value.name, work, first, first.vacated(), at)
        return first.key if key is None else key

    async def keep(self, value: LookupValue, tkn: SessionToken) -> None:
        """Make sure that a session has the highest claim to a value of its own, and claim the value again if not.

        Raises:
            DuplicateError: another session has the value.
        """
        first = self.first(tkn)
        await self._catalogue.use(value.name, partial(self._keep, value, tkn), first, first.vacated())

    async def give_up(self, value: LookupValue, chosen: Callable[[IndexEntry], bool]) -> None:
        """Give up claims to a value. The highest claim becomes vacant; the others are removed."""
        await self._catalogue.use(value.name, partial(_release, chosen=chosen))

    def first(self, tkn: SessionToken) -> IndexEntry:
        """Return the claim of a session to a value that was never claimed. No other claim can come before it."""
        return IndexEntry(next_number(()), tkn, self._now())

    async def _claim(
        self, value: LookupValue, tkn: SessionToken, heir_of: SessionToken | None, claims: EntrySet
    ) -> str:
        before = await claims.entries()
        others = await self._others(before, value, tkn, heir_of)
        mine = IndexEntry(next_number(before), tkn, self._now())
        try:
            await claims.add(mine)
            await self._win(claims, value, mine, others.unfinished)
            await claims.remove(claim.key for claim in (*others.void, *others.unfinished))
        except (asyncio.CancelledError, UnavailableError):
            self._client.in_background(_give_up_one(claims, mine))
            raise
        return mine.key

    async def _others(
        self, claims: Sequence[IndexEntry], value: LookupValue, tkn: SessionToken, heir_of: SessionToken | None
    ) -> OtherClaims:
        """Return the other claims to a value.

        Raises:
            DuplicateError: another session has the value, or may have it in a moment.
        """
        seen: dict[SessionToken, SeenSession] = {}
        for claim in claims:
            if claim.tkn not in (VACANT, tkn, heir_of):
                seen[claim.tkn] = await self._examiner.examine(claim.tkn)
                if holds(claim, seen[claim.tkn], value, self._now()):
                    raise DuplicateError(self._model, value.field)
        return sorted_out([claim for claim in claims if claim.tkn != heir_of], seen)

    async def _win(
        self, claims: EntrySet, value: LookupValue, mine: IndexEntry, unfinished: Sequence[IndexEntry]
    ) -> None:
        """Check that a new claim holds, and refuse the unfinished creations whose claims do not.

        Raises:
            DuplicateError: the new claim does not hold.
        """
        entries = await claims.entries()
        if not leads(entries, mine.tkn, mine.key):
            if any(entry.identity == mine.identity for entry in entries):
                await claims.remove([mine.key])
            raise DuplicateError(self._model, value.field)
        for claim in unfinished:  # only now: a refused creation looks for the claim that beat it
            if not await self._access.refuse(claim.tkn):
                await _give_up_one(claims, mine)
                raise DuplicateError(self._model, value.field)

    async def _keep(self, value: LookupValue, tkn: SessionToken, claims: EntrySet) -> None:
        if not leads(await claims.entries(), tkn):
            await self._claim(value, tkn, None, claims)


async def _release(claims: EntrySet, chosen: Callable[[IndexEntry], bool]) -> None:
    vacate, remove = release(await claims.entries(), chosen)
    if vacate is not None:
        await claims.put(vacate.vacated())
    await claims.remove(remove)


async def _give_up_one(claims: EntrySet, mine: IndexEntry) -> None:
    with contextlib.suppress(MissingSetError):  # the claim is gone with the set
        await _release(claims, lambda claim: claim.identity == mine.identity)
