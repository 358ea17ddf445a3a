"""The verbs on the session of a Starlette request, and the dependencies of FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ndb_models.errors import InvalidArgumentError, UnavailableError
from ndb_models.schema import SessionModel
from ndb_models.schema.expiry import check_seconds
from ndb_models.web.csrf_gate import CsrfGate
from ndb_models.web.devices import Device, check_tracked
from ndb_models.web.exchange import SCOPE_KEY, Exchange
from ndb_models.web.http_errors import CrossSiteError, LoginTooOldError, NotLoggedInError, SessionsUnavailableError
from ndb_models.web.user_sessions import UserSessions

M = TypeVar("M", bound=SessionModel)
T = TypeVar("T")

_NO_EXCHANGES: Final[Mapping[object, Any]] = {}


class RequestVerbs(UserSessions[M]):
    """The verbs of `WebSessions` on the session of a request."""

    csrf: CsrfGate

    # Dependencies

    async def current(self, connection: HTTPConnection) -> M:
        """Return the session of a request, its `connection`: `Annotated[UserSession, Depends(sessions.current)]`.

        Raises:
            NotLoggedInError: there is none: 401, unless the application answers it otherwise.
            SessionsUnavailableError: the store is away: 503.
        """
        visit = self.exchange_of(connection).touched()
        try:  # as `optional`, which would be one more coroutine
            session = visit.session if visit.is_known else await self.open_visit(visit)
        except UnavailableError as exc:
            raise SessionsUnavailableError(self.model.__name__) from exc
        if session is None:
            raise NotLoggedInError(self.model.__name__)
        return session

    async def optional(self, connection: HTTPConnection) -> M | None:
        """Return the session of the request, its `connection`, or None.

        As a dependency: `Annotated[UserSession | None, Depends(sessions.optional)]`.

        Raises:
            SessionsUnavailableError: the store is away: 503.
        """
        visit = self.exchange_of(connection).touched()
        try:
            return visit.session if visit.is_known else await self.open_visit(visit)
        except UnavailableError as exc:
            raise SessionsUnavailableError(self.model.__name__) from exc

    async def logged_in(self, connection: HTTPConnection) -> M:
        """Return the session of a request, if it has a user: `Annotated[UserSession, Depends(sessions.logged_in)]`.

        The request is the `connection`. This is for applications whose visitors have sessions before they log in. The
        user is the first field with `Principal()`; None is no user. Without such a field, this is `current`.

        Raises:
            NotLoggedInError: there is no session, or it has no user: 401, unless the application answers it otherwise.
            SessionsUnavailableError: the store is away: 503.
        """
        session = await self.current(connection)
        principal = self.rules.principal
        if principal and getattr(session, principal[0]) is None:
            raise NotLoggedInError(self.model.__name__)
        return session

    def require_fresh(self, *, minutes: float = 10) -> Callable[[HTTPConnection], Awaitable[M]]:
        """Return a dependency that refuses a user with an old login, for a step-up.

            fresh = sessions.require_fresh(minutes=10)
            async def change_password(session: Annotated[UserSession, Depends(fresh)]) -> None: ...

        It returns the session and raises errors as `logged_in`. It also raises:

            LoginTooOldError: the last login is longer ago: 403, unless the application answers it otherwise, such as
                with a page that asks for the password and then calls `login(request, session)`.

        Raises:
            SchemaError: the class does not say `track=`, so no login is recorded.
            InvalidArgumentError: `minutes` is no time of whole seconds.
        """
        check_tracked(self.model, "require_fresh()")
        check_seconds("minutes=", minutes * 60)

        async def fresh(connection: HTTPConnection) -> M:
            session = await self.logged_in(connection)
            if not await self.or_503(self.repo.is_fresh(session, minutes * 60)):
                raise LoginTooOldError(self.model.__name__, session.tkn)
            return session

        return fresh

    # Verbs. Each may be awaited until the answer begins, and answers 503 if the store is away.

    async def login(self, request: HTTPConnection, session: M, *, remember: bool | None = None) -> M:
        """Log in: make a session the one of this browser. Return its model.

        A new model is stored at once. If the request fails, that session is ended again. If it succeeds, the session
        that the request came with is ended, and its cookie is dead.

        The session of the request itself is neither created nor ended: it gets a new cookie. The one before is dead
        before the changes of the request are stored. Another stored session takes the place of the request's.

        Args:
            request: the request, before its answer has begun.
            session: a new model, or a stored one.
            remember: with `short=`, True for a session that outlives the browser, False for one that does not. None
                leaves the session of the request as it is, such as in a step-up, and is False for any other.

        Raises:
            AnswerBegunError: the answer has begun.
            CrossSiteError: a page of another site makes the request: 403. `trusted_origins=` lists those that may.
            SessionsUnavailableError: the store is away.
            DuplicateError, UnstorableError, PayloadTooLargeError: as `Repository.create`. No one was logged in.
        """
        visit = self.exchange_of(request).before_answer("login()")
        self.refuse_cross_site(request.scope)
        return await self.or_503(self.login_visit(visit, session, remember=remember))

    async def logout(self, request: HTTPConnection) -> bool:
        """Log out: end the session of the request at once, and remove the cookie. Return False if there was none.

        This is done even if the request fails afterwards.

        Raises:
            AnswerBegunError: the answer has begun.
            SessionsUnavailableError: the store is away. The session may still be there, and the cookie stays.
        """
        visit = self.exchange_of(request).before_answer("logout()")
        return await self.or_503(self.logout_visit(visit))

    async def logout_others(self, request: HTTPConnection) -> int:
        """End all other sessions of the user of the request, at once. Return how many there were.

        Raises:
            SchemaError: the class does not name a user: `Annotated[int, Principal(), Lookup()]`.
            NotLoggedInError, SessionsUnavailableError: as `current`.
        """
        await self.current(request)
        return await self.or_503(self.logout_others_of_visit(self.exchange_of(request).touched()))

    async def logout_everywhere(self, request: HTTPConnection) -> int:
        """End all sessions of the user of the request, at once, and remove the cookie. Return how many there were.

        Raises: as `logout_others` and `logout`.
        """
        visit = self.exchange_of(request).before_answer("logout_everywhere()")
        await self.current(request)
        return await self.or_503(self.logout_everywhere_of_visit(visit))

    async def devices(self, request: HTTPConnection) -> list[Device[M]]:
        """Return the sessions of the user of the request: the one of the request first, then by last use.

        Raises:
            SchemaError: the class does not name a user, or does not say `track=`.
            UnsupportedError: the server is a NemesisDB, which cannot look at sessions without extending them.
            NotLoggedInError, SessionsUnavailableError: as `current`.
        """
        await self.current(request)
        return await self.or_503(self.devices_of_visit(self.exchange_of(request).touched()))

    async def revoke(self, request: HTTPConnection, public_id: str) -> bool:
        """End the session `public_id`, if it is of the user of the request. Return False if there is none.

        The request's own session can be revoked too, which logs out. Raises: as `devices` and `logout`.
        """
        visit = self.exchange_of(request).before_answer("revoke()")
        await self.current(request)
        return await self.or_503(self.revoke_of_visit(visit, public_id))

    async def renew(self, request: HTTPConnection) -> None:
        """Give the session of the request a new cookie with the answer. The one before lasts for the grace period.

        This is done by itself at each login, when a field with `Principal()` changes, and by `renew_every=`.

        Raises:
            AnswerBegunError: the answer has begun.
            NotLoggedInError, SessionsUnavailableError: as `current`.
        """
        visit = self.exchange_of(request).before_answer("renew()")
        await self.current(request)
        visit.renew()

    async def or_503(self, doing: Awaitable[T]) -> T:
        """Await `doing`, a verb, and return its result. If the store is away, raise the error that is answered 503."""
        try:
            return await doing
        except UnavailableError as exc:
            self.note_outage(exc)
            raise SessionsUnavailableError(self.model.__name__) from exc

    def exchange_of(self, connection: HTTPConnection) -> Exchange[M]:
        """Return the exchange of a request, by its `connection`.

        Raises:
            InvalidArgumentError: the middleware does not stand around this application.
        """
        exchange: Exchange[M] | None = connection.scope.get(SCOPE_KEY, _NO_EXCHANGES).get(self)
        if exchange is None:
            raise InvalidArgumentError(
                "the request is over, or these sessions have no middleware here: app.add_middleware(SessionMiddleware,"
                " sessions=sessions)"
            )
        return exchange

    def refuse_cross_site(self, scope: Scope) -> None:
        """Raise `CrossSiteError` if another site's page makes the request of `scope`, which would get a session."""
        reason = self.csrf.reason_to_refuse(scope)
        if reason is not None:
            raise CrossSiteError(self.model.__name__, reason)
