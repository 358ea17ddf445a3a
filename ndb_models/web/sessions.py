"""The sessions of a web application: opens them for visits, and carries out the steps of a `Visit`. No framework.

An adapter to a framework makes a `RunningVisit` of a request, calls the verbs here, and `conclude` just before the
answer begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Generic, TypeVar

from ndb_models.client import NdbClient
from ndb_models.clocks import wall_clock
from ndb_models.errors import (
    InvalidArgumentError,
    NdbError,
    SessionGoneError,
    UnavailableError,
    UnstorableError,
    UnusableSessionError,
)
from ndb_models.json_text import split_members
from ndb_models.repository import DecidingRepository, Repository
from ndb_models.repository.credential_verbs import GRACE, UNSEEN, checked_grace
from ndb_models.schema import Expiry, SessionModel
from ndb_models.schema.model import stored_of
from ndb_models.types import Clock
from ndb_models.uncopyable import Uncopyable
from ndb_models.web.adopting import StarletteCookie
from ndb_models.web.adoption import Adoption
from ndb_models.web.arguments import checked_seconds, checked_short
from ndb_models.web.principal import principals_of
from ndb_models.web.running_visit import RunningVisit
from ndb_models.web.visit import Step, VisitRules, cookie_seconds

M = TypeVar("M", bound=SessionModel)

# A page is not worth waiting for longer. Of a client that the application makes, these are the application's.
_CONNECT_WAIT: Final = 1.0
_ATTEMPT_TIMEOUT: Final = 2.0
_REQUEST_TIMEOUT: Final = 5.0

_NO_FIELDS: Final[frozenset[str]] = frozenset()

_logger = logging.getLogger("ndb_models.web")


class VisitedSessions(Uncopyable, Generic[M]):
    """The sessions of one class that browsers hold cookies of.

    Args:
        store: a URI, as for `NdbClient`, or a client. A client stays yours to close.
        model: the class of the sessions.
        namespace: as for `Repository`.
        short: the expiry of sessions without `remember=True`. Their cookies end with the browser.
        renew_every: the age at which a cookie is replaced by a new one.
        grace: the time for which a replaced cookie still works, for requests under way.
        token: the bearer token of the server, if the store is the URI of one.
        adopt: cookies of another middleware. Their sessions are carried over.
        clock: tells the time in seconds since 1970.
    """

    INSTEAD = "it holds a client; make it once, where the application is made"

    def __init__(
        self,
        store: NdbClient | str,
        model: type[M],
        *,
        namespace: str | None = None,
        short: Expiry | None = None,
        renew_every: timedelta | float | None = None,
        grace: timedelta | float = GRACE,
        adopt: StarletteCookie | None = None,
        token: str | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        given: object = store
        if not isinstance(given, (NdbClient, str)):
            raise InvalidArgumentError(
                "sessions are in a store: its URI, such as 'sqlite:///sessions.db', or an NdbClient"
            )
        if token is not None and isinstance(given, NdbClient):
            raise InvalidArgumentError("token= is for the URI of a server: give it to the NdbClient itself")
        self.owns_client: bool = isinstance(store, str)
        self.client: NdbClient = (
            NdbClient(
                store,
                token=token,
                connect_wait=_CONNECT_WAIT,
                attempt_timeout=_ATTEMPT_TIMEOUT,
                request_timeout=_REQUEST_TIMEOUT,
            )
            if isinstance(store, str)
            else store
        )
        self._deciding = DecidingRepository(self.client, model, namespace=namespace, clock=clock)
        self.repo: Repository[M] = self._deciding
        """The repository of the sessions: hooks are registered here, and other parts of the program use it."""
        self.model: type[M] = model
        self._clock = clock
        self._grace = checked_grace(grace)
        self.rules: VisitRules = VisitRules(
            principal=principals_of(model),
            renew_every=checked_seconds("renew_every", renew_every),
            short=checked_short(short),
        )
        self.adoption: Adoption[M] | None = (
            None if adopt is None else Adoption(self.client, self.repo, model, adopt, namespace=namespace, clock=clock)
        )
        self._is_away = False
        self._carry_out: Mapping[Step, Callable[[RunningVisit[M]], Awaitable[None]]] = {
            Step.LIMIT: self._limit,
            Step.ISSUE: self._issue,
            Step.RENEW: self._renew,
            Step.ROLL: self._roll,
            Step.SEND_AGAIN: self._send_again,
            Step.NOTE_SEEN: self._note_seen,
            Step.SAVE: self._save,
            Step.END_FORMER: self._end_former,
        }

    # Called by requests

    async def open_visit(self, visit: RunningVisit[M]) -> M | None:
        """Return the session of a visit, or None. The store is read once at most.

        Raises:
            UnavailableError: the store is away. The next call tries again.
        """
        if not visit.is_known:
            async with visit.turn:
                await self._open(visit)
        return visit.session

    def may_have_session(self, visit: RunningVisit[M]) -> bool:
        """Return True if the request of `visit` shows a cookie that may open a session."""
        return visit.is_shown or (self.adoption is not None and self.adoption.cookie.is_in(visit.headers))

    async def _open(self, visit: RunningVisit[M]) -> None:
        if visit.is_known:
            return
        keeps_cookie = False
        try:
            opened = visit.used = await self.repo.opened_by(visit.text, extend=False)
            if opened is None and self.adoption is not None:
                opened, keeps_cookie = await self.adoption.open(visit)
        except UnusableSessionError as exc:
            _logger.warning("a session cannot be used, so its user counts as logged out: %s", exc)
            opened, keeps_cookie = None, True
        except UnavailableError as exc:
            self.note_outage(exc)
            raise
        if self._is_away and opened is not None:  # without a cookie, the store was not asked
            self._is_away = False
            _logger.info("the store of %s answers again", self.model.__name__)
        visit.opened(opened, keeps_cookie=keeps_cookie)
        visit.as_read = _stored_keys(visit.session)
        if visit.adopted is not None:
            visit.max_age = await self._seconds_of_cookie(visit)

    async def login_visit(self, visit: RunningVisit[M], session: M, *, remember: bool | None) -> M:
        """Log in the user of `visit`, and return the session: see `WebSessions.login`."""
        async with visit.turn:
            await self._open(visit)
            given: object = session
            created = not (isinstance(given, SessionModel) and given.is_saved)
            if created:
                session = await self.repo.create(session, expiry=None if remember else self.rules.short)
            elif type(given) is not self.model:
                raise InvalidArgumentError(f"these sessions are of {self.model.__name__}")
            visit.log_in(session, created=created, remember=remember)
            return session

    async def logout_visit(self, visit: RunningVisit[M]) -> bool:
        """Log out the user of `visit`; return False without one: see `WebSessions.logout`."""
        async with visit.turn:
            await self._open(visit)
            ended = False
            for session in visit.to_end():
                ended = await self.repo.delete(session.tkn) or ended
            if self.adoption is not None:
                await self.adoption.burn(visit)
            visit.log_out()
            return ended

    # The end of a request

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
            changed = self._changed(visit)
            for step in visit.steps(changed, self._clock() * 1000):
                await self._carry_out[step](visit)
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
        pending = visit.pending = self._deciding.pending(session)
        now = _stored_keys(session)
        if self.rules.principal and now is not visit.as_read and visit.as_read:
            visit.saved_itself = _differing(visit.as_read, now, self.rules.principal)
        return _NO_FIELDS if pending is None else pending.names

    async def _limit(self, visit: RunningVisit[M]) -> None:
        short = visit.is_short
        await self.repo.expire(_session(visit), self.rules.short if short else self.model.session_options.expiry)

    async def _issue(self, visit: RunningVisit[M]) -> None:
        visit.max_age = await self._seconds_of_cookie(visit)
        visit.credential = await self.repo.issue(_session(visit))

    async def _renew(self, visit: RunningVisit[M]) -> None:
        if visit.is_current:
            await self._replace_cookie(visit, self._grace)
        else:  # another request has replaced it a moment ago, before the change of this one
            visit.max_age = await self._seconds_of_cookie(visit)
            visit.credential = await self.repo.renew(_session(visit), self._grace)

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
        """Look after a cookie. If that fails, the request has succeeded all the same."""
        try:
            await upkeep
        except NdbError as exc:
            _logger.warning("a cookie could not be replaced; the next request tries again: %s", exc)

    async def _save(self, visit: RunningVisit[M]) -> None:
        if visit.pending is not None:
            await visit.pending.save()
            visit.is_saved = True

    async def _end_former(self, visit: RunningVisit[M]) -> None:
        for former in visit.to_replace():
            await self.repo.delete(former.tkn)

    async def _seconds_of_cookie(self, visit: RunningVisit[M]) -> int | None:
        """Return how long the browser is to keep the cookie: as long as the store may keep the session."""
        if visit.is_short:
            return None
        session = _session(visit)
        stored = stored_of(session)
        if stored is not None and stored.deadline is not None:
            return cookie_seconds(deadline=stored.deadline / 1000 - self._clock(), idle=None)
        visit.count_use()
        return cookie_seconds(deadline=None, idle=await self.repo.ttl(session))

    def note_outage(self, error: UnavailableError) -> None:
        """Log that the store is away, with the `error`, once until it answers again."""
        if not self._is_away:
            self._is_away = True
            _logger.warning("the store of %s is away, requests are answered 503: %s", self.model.__name__, error)

    @property
    def grace(self) -> timedelta:
        """The time for which a replaced cookie still works."""
        return self._grace if isinstance(self._grace, timedelta) else timedelta(seconds=self._grace)


def _session(visit: RunningVisit[M]) -> M:
    session = visit.session
    assert session is not None
    return session


def _stored_keys(session: SessionModel | None) -> bytes:
    stored = None if session is None else stored_of(session)
    return b"" if stored is None else stored.keys


def _differing(before: bytes, after: bytes, names: Sequence[str]) -> frozenset[str]:
    """Return those of some keys that differ in two texts."""
    one, other = split_members(before), split_members(after)
    return frozenset(name for name in names if one.get(name) != other.get(name))
