"""Opens the sessions of a web application for visits, and logs users in and out. No framework."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final, Generic, TypeVar

from ndb_models.client import NdbClient
from ndb_models.clocks import wall_clock
from ndb_models.errors import InvalidArgumentError, UnavailableError, UnusableSessionError
from ndb_models.repository import DecidingRepository, Repository
from ndb_models.repository.credential_verbs import GRACE, checked_grace
from ndb_models.schema import Expiry, SessionModel
from ndb_models.schema.model import stored_of
from ndb_models.types import Clock
from ndb_models.uncopyable import Uncopyable
from ndb_models.web.adopting import StarletteCookie
from ndb_models.web.adoption import Adoption
from ndb_models.web.principal import principals_of
from ndb_models.web.running_visit import RunningVisit
from ndb_models.web.visit import VisitRules, cookie_seconds

M = TypeVar("M", bound=SessionModel)

# A page is not worth waiting for longer. Of a client that the application makes, these are the application's.
_CONNECT_WAIT: Final = 1.0
_ATTEMPT_TIMEOUT: Final = 2.0
_REQUEST_TIMEOUT: Final = 5.0

_logger = logging.getLogger("ndb_models.web")


class OpenedVisits(Uncopyable, Generic[M]):
    """Opens the sessions of one class for visits, and logs users in and out.

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
            renew_every=_checked_seconds("renew_every", renew_every),
            short=_checked_short(short),
        )
        self.adoption: Adoption[M] | None = (
            None if adopt is None else Adoption(self.client, self.repo, model, adopt, namespace=namespace, clock=clock)
        )
        self._is_away = False

    async def open_visit(self, visit: RunningVisit[M]) -> M | None:
        """Return the session of a visit, or None. The store is read once at most.

        Raises:
            UnavailableError: the store is away. The next call tries again.
        """
        if not visit.take_turn():
            await visit.wait_for_turn()
        keeps_cookie = False
        try:
            if visit.is_known:  # another task may have opened it meanwhile
                return visit.session
            try:
                opened = await self.repo.opened_by(visit.text, extend=False, to_change=visit.may_change)
                if opened is not None:
                    visit.count = opened.use
                elif self.adoption is not None:
                    opened, keeps_cookie = await self.adoption.open(visit)
            except UnusableSessionError as exc:
                _logger.warning("a session cannot be used, so its user counts as logged out: %s", exc)
                opened, keeps_cookie = None, True
            except UnavailableError as exc:
                self.note_outage(exc)
                raise
            visit.opened(opened, keeps_cookie=keeps_cookie)
            if opened is not None:  # without a cookie, the store was not asked
                self._note_answer()
                visit.as_read = stored_of(opened.session)
            if visit.adopted is not None:
                visit.max_age = await self._seconds_of_cookie(visit)
        finally:
            visit.end_turn()
        return visit.session

    def may_have_session(self, visit: RunningVisit[M]) -> bool:
        """Return True if the request of `visit` shows a cookie that may open a session."""
        return visit.is_shown or (self.adoption is not None and self.adoption.cookie.is_in(visit.headers))

    def _note_answer(self) -> None:
        if self._is_away:
            self._is_away = False
            _logger.info("the store of %s answers again", self.model.__name__)

    async def login_visit(self, visit: RunningVisit[M], session: M, *, remember: bool | None) -> M:
        """Log in the user of `visit`, and return the session: see `WebSessions.login`."""
        await self.open_visit(visit)
        async with visit.turn():
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
        await self.open_visit(visit)
        async with visit.turn():
            ended = False
            for session in visit.to_end():
                ended = await self.repo.delete(session.tkn) or ended
            if self.adoption is not None:
                await self.adoption.burn(visit)
            visit.log_out()
            return ended

    async def _seconds_of_cookie(self, visit: RunningVisit[M]) -> int | None:
        """Return how long the browser is to keep the cookie: as long as the store may keep the session."""
        if visit.is_short:
            return None
        session = session_of(visit)
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


def session_of(visit: RunningVisit[M]) -> M:
    """Return the session of a visit that has one."""
    session = visit.session
    assert session is not None
    return session


def _checked_seconds(name: str, time: timedelta | float | None) -> float | None:
    """Return a time in seconds; None for None.

    Raises:
        InvalidArgumentError: it is no time, or not positive.
    """
    given: object = time.total_seconds() if isinstance(time, timedelta) else time
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
        raise InvalidArgumentError(f"{name}= is a timedelta or a number of seconds, and more than 0")
    return float(given)


def _checked_short(short: Expiry | None) -> Expiry | None:
    """Return the expiry of short logins, or None.

    Raises:
        InvalidArgumentError: it is no `Expiry`.
    """
    given: object = short
    if not isinstance(given, (Expiry, type(None))):
        raise InvalidArgumentError("short= is an Expiry: WebSessions(..., short=Expiry(idle=1800))")
    return short
