"""The sessions of a web application: opens them for visits, and carries out the steps of a `Visit`. No framework.

An adapter to a framework makes a `RunningVisit` of a request, calls the verbs here, and `conclude` just before the
answer begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Final, TypeVar

from ndb_models.errors import NdbError, SessionGoneError, UnavailableError, UnstorableError
from ndb_models.json_text import split_members
from ndb_models.repository.credential_verbs import UNSEEN
from ndb_models.repository.stored_state import known
from ndb_models.schema import SessionModel
from ndb_models.web.opening import OpenedVisits, session_of
from ndb_models.web.running_visit import RunningVisit
from ndb_models.web.visit import Step

M = TypeVar("M", bound=SessionModel)

_NO_FIELDS: Final[frozenset[str]] = frozenset()

_logger = logging.getLogger("ndb_models.web")


class VisitedSessions(OpenedVisits[M]):
    """The sessions of one class that cookies open. Arguments: as `OpenedVisits`."""

    @cached_property
    def _carry_out(self) -> Mapping[Step, Callable[[RunningVisit[M]], Awaitable[None]]]:
        """The function for each step."""
        return {
            Step.LIMIT: self._limit,
            Step.ISSUE: self._issue,
            Step.RENEW: self._renew,
            Step.ROLL: self._roll,
            Step.SEND_AGAIN: self._send_again,
            Step.NOTE_SEEN: self._note_seen,
            Step.SAVE: self._save,
            Step.END_FORMER: self._end_former,
        }

    async def conclude(self, visit: RunningVisit[M], *, succeeded: bool) -> None:
        """Store the changes of a request that succeeded; undo the logins of another. `visit.cookie` is right then.

        Raises:
            SessionGoneError: the session has ended elsewhere, and the request changed it.
            UnavailableError: the store is away.
            NdbError: as `Repository.save`.
        """
        if not visit.is_known:
            return
        if not succeeded:
            await self.undo(visit)
            visit.unsaved = self._unsaved_of_failed(visit.session)
            return
        try:
            for step in visit.steps(self._changed(visit), self._clock() * 1000):
                await self._carry_out[step](visit)
            visit.is_saved = visit.pending is not None
            if visit.count is not None:
                visit.count_use()
        except BaseException as exc:
            await self.undo(visit, exc)
            visit.unsaved = None
            if isinstance(exc, SessionGoneError):
                visit.lose(exc.tkn)
            if isinstance(exc, UnavailableError):
                self.note_outage(exc)
            raise

    async def undo(self, visit: RunningVisit[M], cause: BaseException | None = None) -> None:
        """End the sessions that the request of `visit` began.

        That is waited for, unless the cause is a cancellation: it then goes on in the background.
        """
        visit.count_use()
        ending = [self.client.in_background(self.repo.delete(session.tkn)) for session in visit.fail()]
        if ending and (cause is None or isinstance(cause, Exception)):
            await asyncio.wait(ending)

    def _unsaved_of_failed(self, session: M | None) -> frozenset[str] | None:
        try:
            return _NO_FIELDS if session is None else self.repo.unsaved(session)
        except UnstorableError:
            return None

    def changed_since(self, visit: RunningVisit[M]) -> frozenset[str]:
        """Return the fields of a concluded visit that changed since it was concluded."""
        if visit.session is None or visit.unsaved is None:
            return _NO_FIELDS
        changed = self.repo.unsaved(visit.session)
        return changed - visit.unsaved if changed else changed

    def _changed(self, visit: RunningVisit[M]) -> frozenset[str]:
        """Return the fields to save, and marked ones that the application has saved itself."""
        session = visit.session
        if session is None:
            return _NO_FIELDS
        stored, as_read = known(session), visit.as_read
        if stored is not as_read and as_read is not None and self.rules.principal:
            visit.saved_itself = _differing(as_read.keys, stored.keys, self.rules.principal)
        pending = visit.pending = self._deciding.pending(session, stored)
        return _NO_FIELDS if pending is None else pending.names

    async def _limit(self, visit: RunningVisit[M]) -> None:
        short = visit.is_short
        await self.repo.expire(session_of(visit), self.rules.short if short else self.model.session_options.expiry)

    async def _issue(self, visit: RunningVisit[M]) -> None:
        visit.max_age = await self._seconds_of_cookie(visit)
        visit.credential = await self.repo.issue(session_of(visit))

    async def _renew(self, visit: RunningVisit[M]) -> None:
        if visit.is_current:
            await self._replace_cookie(visit, self._grace)
        else:  # another request has replaced it a moment ago, before the change of this one
            visit.max_age = await self._seconds_of_cookie(visit)
            visit.credential = await self.repo.renew(session_of(visit), self._grace)

    async def _roll(self, visit: RunningVisit[M]) -> None:
        await self._quietly(self._replace_cookie(visit, UNSEEN))

    async def _replace_cookie(self, visit: RunningVisit[M], unseen: timedelta | float) -> None:
        max_age = await self._seconds_of_cookie(visit)
        renewed = await self.repo.renew_once(visit.text or "", unseen)
        if renewed is not None:
            visit.max_age, visit.credential = max_age, renewed

    async def _send_again(self, visit: RunningVisit[M]) -> None:
        async def send_again() -> None:
            visit.max_age = await self._seconds_of_cookie(visit)
            visit.credential = visit.follower

        await self._quietly(send_again())

    async def _note_seen(self, visit: RunningVisit[M]) -> None:
        await self._quietly(self.repo.note_seen(visit.text or "", self._grace))

    @staticmethod
    async def _quietly(upkeep: Awaitable[None]) -> None:
        """Await the upkeep of a cookie. The request succeeds even if this fails."""
        try:
            await upkeep
        except NdbError as exc:
            _logger.warning("a cookie could not be replaced; the next request tries again: %s", exc)

    @staticmethod
    def _save(visit: RunningVisit[M]) -> Awaitable[None]:
        pending = visit.pending
        assert pending is not None
        return pending.save()

    async def _end_former(self, visit: RunningVisit[M]) -> None:
        for former in visit.to_replace():
            await self.repo.delete(former.tkn)


def _differing(before: bytes, after: bytes, names: Sequence[str]) -> frozenset[str]:
    """Return the names whose values differ between two texts."""
    one, other = split_members(before), split_members(after)
    return frozenset(name for name in names if one.get(name) != other.get(name))
