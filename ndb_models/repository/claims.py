"""Unique claims: they decide which session has a unique value.

The set of a unique value holds claims, numbered from 0. A session that wants the value looks at all claims. It gives up
if the session of another claim has the value. Otherwise it adds a claim with the next number; if several do, the first
one's claim stays. The claim holds if it is the highest then. These rules keep two sessions from both winning, however
late a step comes:

- The highest claim is never removed, only made vacant, so the highest number never falls.
- A session may add its claim late, after others took higher numbers and removed this one. It sees the higher claim, and
  gives up.
- An unfinished creation does not hold a value against another session that wants it. That session adds the reserved key
  under which the creation would commit. The creation adds it too, and the first one stays. So the creation either was
  finished and has the value, or never will be. This is why a creation that died holds no value.
- A living session with another value is about to take this one, or to leave it. Its write cannot be stopped, so its
  claim holds for `SETTLING` seconds.
- A rotation claims for the new session, and leaves the old session's claim until that session has ended. One of the two
  has the value.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from ndb_models.client import NdbClient
from ndb_models.errors import DuplicateError, UnavailableError
from ndb_models.repository.access import SessionAccess
from ndb_models.repository.directory import NOBODY, IndexSet, Member, MissingSetError
from ndb_models.repository.standing import Examiner, Sighting, Standing, Value
from ndb_models.types import SessionToken


class Claims:
    """Makes, keeps and gives up claims to the unique values of one schema.

    Args:
        client: an open client.
        model: the name of the class, for errors.
        access: the access to the sessions of the schema.
        examiner: the examiner of the same sessions.
    """

    def __init__(self, client: NdbClient, model: str, access: SessionAccess, examiner: Examiner) -> None:
        self._client = client
        self._model = model
        self._access = access
        self._examiner = examiner

    async def claim(
        self, claims: IndexSet, value: Value, tkn: SessionToken, heir_of: SessionToken | None = None
    ) -> str:
        """Claim a value for a session, and remove the claims that this makes void. Return the number of the claim.

        Args:
            claims: the set of the value.
            value: the value.
            tkn: the session, which has the value or is about to.
            heir_of: the session that this one replaces, if any.

        Raises:
            DuplicateError: another session has the value.
        """
        members = await claims.members()
        void, unfinished = await self._judge(members, value, tkn, heir_of)
        key = str(int(members[-1].key) + 1) if members else "0"
        mine = Member(key, tkn, self._examiner.now())
        try:
            await claims.add(mine)
            await self._win(claims, value, mine, unfinished)
            await claims.remove(member.key for member in (*void, *unfinished))
        except (asyncio.CancelledError, UnavailableError):
            self._client.in_background(self._give_up_one(claims, mine))
            raise
        return key

    async def _win(self, claims: IndexSet, value: Value, mine: Member, unfinished: Sequence[Member]) -> None:
        """Check that a new claim holds, and refuse the unfinished creations whose claims do not.

        Raises:
            DuplicateError: the new claim does not hold.
        """
        members = await claims.members()
        if not leads(members, mine.tkn, mine.key):
            if any(member[:2] == mine[:2] for member in members):
                await claims.remove([mine.key])
            raise DuplicateError(self._model, value.field)
        for member in unfinished:  # only now: a refused creation looks for the claim that beat it
            if not await self._access.refuse(member.tkn):
                await self._give_up_one(claims, mine)
                raise DuplicateError(self._model, value.field)

    async def _give_up_one(self, claims: IndexSet, mine: Member) -> None:
        with contextlib.suppress(MissingSetError):  # the claim is gone with the set
            await self.give_up(claims, lambda member: member[:2] == mine[:2])

    async def _judge(
        self, members: Sequence[Member], value: Value, tkn: SessionToken, heir_of: SessionToken | None
    ) -> tuple[list[Member], list[Member]]:
        """Return the void claims, and the claims of unfinished creations.

        Raises:
            DuplicateError: another session has the value, or may have it in a moment.
        """
        void: list[Member] = []
        unfinished: list[Member] = []
        for member in members:
            if member.tkn == heir_of:
                continue
            if member.tkn not in (NOBODY, tkn):
                sighting = await self._examiner.examine(member.tkn)
                if sighting.standing is Standing.UNFINISHED:
                    unfinished.append(member)
                    continue
                if self._holds(sighting, member, value):
                    raise DuplicateError(self._model, value.field)
            void.append(member)
        return void, unfinished

    def _holds(self, sighting: Sighting, member: Member, value: Value) -> bool:
        if sighting.standing is Standing.GONE:
            return False
        return sighting.has(value) or not self._examiner.is_settled(member)

    async def keep(self, claims: IndexSet, value: Value, tkn: SessionToken) -> None:
        """Make sure that a session has the highest claim to a value of its own, and claim the value again if not.

        Raises:
            DuplicateError: another session has the value.
        """
        if not leads(await claims.members(), tkn):
            await self.claim(claims, value, tkn)

    async def give_up(self, claims: IndexSet, chosen: Callable[[Member], bool]) -> None:
        """Give up claims. The highest claim becomes vacant; the others are removed."""
        members = await claims.members()
        given_up = [*filter(chosen, members)]
        if given_up and given_up[-1] is members[-1]:
            await claims.put(given_up.pop()._replace(tkn=NOBODY))
        await claims.remove([member.key for member in given_up])


def leads(members: Sequence[Member], tkn: SessionToken, key: str | None = None) -> bool:
    """Return True if the highest claim is this session's, and has this number if one is given."""
    return bool(members) and members[-1].tkn == tkn and key in (None, members[-1].key)
