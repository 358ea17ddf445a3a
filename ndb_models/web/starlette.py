"""`WebSessions` and `SessionMiddleware`: typed sessions for FastAPI, Starlette and any ASGI application.

The middleware keeps one `Exchange` for each request. It opens no session before the application asks for one, and
concludes the visit as the answer begins.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import TypeVar

from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope
from starlette.websockets import WebSocket

from ndb_models.client import NdbClient
from ndb_models.clocks import wall_clock
from ndb_models.errors import InvalidArgumentError, UnavailableError
from ndb_models.repository.credential_verbs import GRACE
from ndb_models.schema import Expiry, SessionModel
from ndb_models.schema.expiry import check_seconds
from ndb_models.types import Clock
from ndb_models.web.adopting import StarletteCookie
from ndb_models.web.cookies import CookieSettings
from ndb_models.web.csrf import CsrfCheck, CsrfMode, draw_csrf_token
from ndb_models.web.csrf_gate import CsrfGate
from ndb_models.web.devices import Device, check_tracked
from ndb_models.web.exchange import SCOPE_KEY, Exchange
from ndb_models.web.http_errors import (
    RETRY_AFTER,
    CrossSiteError,
    LoginTooOldError,
    NotLoggedInError,
    SessionsUnavailableError,
)
from ndb_models.web.notices import CookieNotices
from ndb_models.web.user_sessions import UserSessions
from ndb_models.web.viewed_class import ViewedClass, viewed_class
from ndb_models.web.watching import bound

M = TypeVar("M", bound=SessionModel)
T = TypeVar("T")

_logger = logging.getLogger("ndb_models.web")


def _is_success(status: int) -> bool:
    return status < 400


class WebSessions(UserSessions[M]):
    """The typed sessions of a web application.

        sessions = WebSessions("sqlite:///sessions.db", UserSession)
        app = FastAPI(lifespan=sessions.lifespan)
        app.add_middleware(SessionMiddleware, sessions=sessions)

        @app.get("/")
        async def home(session: Annotated[UserSession, Depends(sessions.current)]) -> str: ...

    Changes of the session are stored just before the answer begins, if the request succeeded.
    """

    def __init__(
        self,
        store: NdbClient | str,
        model: type[M],
        *,
        namespace: str | None = None,
        cookie: CookieSettings | None = None,
        development: bool = False,
        short: Expiry | None = None,
        renew_every: timedelta | float | None = None,
        grace: timedelta | float = GRACE,
        save_if: Callable[[int], bool] = _is_success,
        csrf: CsrfMode = True,
        trusted_origins: Iterable[str] = (),
        request_session: bool | None = None,
        adopt: StarletteCookie | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        check = CsrfCheck(csrf, trusted_origins)
        super().__init__(
            store,
            model,
            namespace=namespace,
            short=short,
            renew_every=renew_every,
            grace=grace,
            adopt=adopt,
            clock=clock,
        )
        _check_options(cookie, development, save_if)
        settings = CookieSettings() if cookie is None else cookie
        self.development: bool = development
        self.cookie: CookieSettings = settings.in_development if development else settings
        self.cookie_name: bytes = self.cookie.name.encode()
        self.save_if: Callable[[int], bool] = save_if
        self.csrf: CsrfGate = CsrfGate(check, self.cookie_name, adopt)
        self.viewed: ViewedClass[M] | None = viewed_class(model, request_session)
        self.notices: CookieNotices = CookieNotices(in_development=development)

    # Dependencies

    async def current(self, connection: HTTPConnection) -> M:
        """Return the session of the request: `Annotated[UserSession, Depends(sessions.current)]`.

        Raises:
            NotLoggedInError: there is none: 401, unless the application answers it otherwise.
            SessionsUnavailableError: the store is away: 503.
        """
        session = await self.optional(connection)
        if session is None:
            raise NotLoggedInError(self.model.__name__)
        return session

    async def optional(self, connection: HTTPConnection) -> M | None:
        """Return the session of the request, or None: `Annotated[UserSession | None, Depends(sessions.optional)]`.

        Raises:
            SessionsUnavailableError: the store is away: 503.
        """
        visit = self._exchange(connection).touched()
        try:
            return await self.open_visit(visit)
        except UnavailableError as exc:
            raise SessionsUnavailableError(self.model.__name__) from exc

    def require_fresh(self, *, minutes: float = 10) -> Callable[[HTTPConnection], Awaitable[M]]:
        """Return a dependency that takes only users who logged in a short time ago, for a step-up.

            fresh = sessions.require_fresh(minutes=10)
            async def change_password(session: Annotated[UserSession, Depends(fresh)]) -> None: ...

        It returns the session, as `current`, and raises what `current` raises. Beside:

            LoginTooOldError: the last login is longer ago: 403, unless the application answers it otherwise, such as
                with a page that asks for the password and then calls `login(request, session)`.

        Raises:
            SchemaError: the class does not say `track=`, so no login is recorded.
            InvalidArgumentError: `minutes` is no time of whole seconds.
        """
        check_tracked(self.model, "require_fresh()")
        check_seconds("minutes=", minutes * 60)

        async def fresh(connection: HTTPConnection) -> M:
            session = await self.current(connection)
            if not await self._available(self.repo.is_fresh(session, minutes * 60)):
                raise LoginTooOldError(self.model.__name__, session.tkn)
            return session

        return fresh

    # Verbs. Each may be awaited until the answer begins, and answers 503 if the store is away.

    async def login(self, request: HTTPConnection, session: M, *, remember: bool = False) -> M:
        """Log in: make a session the one of this browser. Return its model.

        A new model is stored at once. If the request fails, that session is ended again. If it succeeds, the session
        that the request came with is ended, and its cookie opens nothing any more.

        With the session of the request, or another one that is stored, nothing is created or ended. It gets a new
        cookie; the one before is dead before the changes of the request are stored.

        Args:
            request: the request, before its answer has begun.
            session: a new model, or a stored one.
            remember: with `short=`, True for a session that outlives the browser.

        Raises:
            AnswerBegunError: the answer has begun.
            CrossSiteError: a page of another site makes the request: 403. `trusted_origins=` lists those that may.
            SessionsUnavailableError: the store is away.
            DuplicateError, UnstorableError, PayloadTooLargeError: as `Repository.create`. No one was logged in.
        """
        visit = self._exchange(request).before_answer("login()")
        self.refuse_cross_site(request.scope)
        return await self._available(self.login_visit(visit, session, remember=remember))

    async def logout(self, request: HTTPConnection) -> bool:
        """Log out: end the session of the request at once, and remove the cookie. Return False if there was none.

        This is done even if the request fails afterwards.

        Raises:
            AnswerBegunError: the answer has begun.
            SessionsUnavailableError: the store is away. The session may still be there, and the cookie stays.
        """
        visit = self._exchange(request).before_answer("logout()")
        return await self._available(self.logout_visit(visit))

    async def logout_others(self, request: HTTPConnection) -> int:
        """End all other sessions of the user of the request, at once. Return how many there were.

        Raises:
            SchemaError: the class does not name a user: `Annotated[int, Principal(), Lookup()]`.
            NotLoggedInError, SessionsUnavailableError: as `current`.
        """
        await self.current(request)
        return await self._available(self.logout_others_of_visit(self._exchange(request).touched()))

    async def logout_everywhere(self, request: HTTPConnection) -> int:
        """End all sessions of the user of the request, at once, and remove the cookie. Return how many there were.

        Raises: as `logout_others` and `logout`.
        """
        visit = self._exchange(request).before_answer("logout_everywhere()")
        await self.current(request)
        return await self._available(self.logout_everywhere_of_visit(visit))

    async def devices(self, request: HTTPConnection) -> list[Device[M]]:
        """Return the sessions of the user of the request: the one of the request first, then by last use.

        Raises:
            SchemaError: the class does not name a user, or does not say `track=`.
            UnsupportedError: the server is a NemesisDB, which cannot look at sessions without extending them.
            NotLoggedInError, SessionsUnavailableError: as `current`.
        """
        await self.current(request)
        return await self._available(self.devices_of_visit(self._exchange(request).touched()))

    async def revoke(self, request: HTTPConnection, public_id: str) -> bool:
        """End the session with a public id, if it is of the user of the request. Return False if there is none.

        The request's own session can be revoked too, which logs out. Raises: as `devices` and `logout`.
        """
        visit = self._exchange(request).before_answer("revoke()")
        await self.current(request)
        return await self._available(self.revoke_of_visit(visit, public_id))

    async def renew(self, request: HTTPConnection) -> None:
        """Give the session of the request a new cookie with the answer. The one before lasts for the grace period.

        This is done by itself at each login, when a field with `Principal()` changes, and by `renew_every=`.

        Raises:
            AnswerBegunError: the answer has begun.
            NotLoggedInError, SessionsUnavailableError: as `current`.
        """
        visit = self._exchange(request).before_answer("renew()")
        await self.current(request)
        visit.renew()

    async def _available(self, doing: Awaitable[T]) -> T:
        """Await a verb; if the store is away, raise the error that is answered 503."""
        try:
            return await doing
        except UnavailableError as exc:
            self.note_outage(exc)
            raise SessionsUnavailableError(self.model.__name__) from exc

    async def csrf_token(self, request: HTTPConnection) -> str:
        """Return a CSRF token of the session, for the field `csrf_token` of a form, or the header `X-CSRF-Token`.

        Each call returns another one; all hold as long as the session. Without a session it returns an empty text: a
        request without a cookie needs no token.

        Raises:
            SessionsUnavailableError: the store is away: 503.
        """
        session = await self.optional(request)
        return "" if session is None else draw_csrf_token(session.tkn)

    def refuse_cross_site(self, scope: Scope) -> None:
        """Raise `CrossSiteError` if a page of another site makes this request, which is about to get a session."""
        reason = self.csrf.reason_to_refuse(scope)
        if reason is not None:
            raise CrossSiteError(self.model.__name__, reason)

    def bound(self, websocket: WebSocket, *, poll: float = 1.0) -> AbstractAsyncContextManager[M]:
        """Bind a WebSocket to its session: when the session ends, the body is cancelled and the socket closed.

            await websocket.accept()
            async with sessions.bound(websocket) as session:
                async for text in websocket.iter_text(): ...

        The code is 4401, which scripts see as `event.code`. The program goes on behind the block: the end is no error.
        An end by this process is noticed at once, others within `poll` seconds. All sockets share the requests of
        `Repository.ended`. Messages on the socket do not count as use of the session: `await sessions.repo.touch(...)`.

        A body that asks for no messages, and only sends, is cancelled when the client has left: it would not see that.

        A socket without a session is accepted and closed with 4401, since scripts are told no reason for a handshake
        that was refused. While the store is away, open sockets stay, and new ones are closed with 1013.

        Args:
            websocket: accepted or not.
            poll: seconds between two looks at the store.

        Raises (when entered):
            WebSocketException: there is no session, or the store is away. Starlette closes the socket.

        Raises (when left):
            NotConnectedError, ResponseError: the session cannot be watched any more. The socket is closed with 1011.
        """
        ended = functools.partial(self.repo.ended, poll=poll)
        return bound(websocket, self.optional, ended, self._exchange(websocket).client_left)

    def _exchange(self, connection: HTTPConnection) -> Exchange[M]:
        exchange: Exchange[M] | None = connection.scope.get(SCOPE_KEY, {}).get(self)
        if exchange is None:
            raise InvalidArgumentError(
                "the request is over, or these sessions have no middleware here: app.add_middleware(SessionMiddleware,"
                " sessions=sessions)"
            )
        return exchange

    # The life of the application

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Say at the start how things are, and close the client at the end: `FastAPI(lifespan=sessions.lifespan)`.

        Inside of a lifespan of your own, `async with sessions.lifespan(app)`. A client that was given is left open.
        If the store is away, the application starts all the same, and answers 503 until the store is there.
        """
        self.notices.announce()
        if not await self.is_ready():
            _logger.warning("the store of %s gives no answer at the start", self.model.__name__)
        try:
            yield
        finally:
            if self.owns_client:
                await self.client.close()

    async def ready(self) -> bool:
        """Return True if the store answers, within two seconds."""
        return await self.is_ready()

    async def readyz(self, request: Request) -> Response:
        """Answer a probe: 200 if the store answers, else 503. `app.add_route("/readyz", sessions.readyz)`."""
        if await self.is_ready():
            return PlainTextResponse("ready")
        return PlainTextResponse("the store is away", 503, {"Retry-After": str(RETRY_AFTER)})


def _check_options(cookie: object, development: object, save_if: object) -> None:
    if not isinstance(cookie, (CookieSettings, type(None))):
        raise InvalidArgumentError('cookie= is a CookieSettings: cookie=CookieSettings(name="__Host-shop")')
    if not isinstance(development, bool):
        raise InvalidArgumentError("development= is True or False")
    if not callable(save_if):
        raise InvalidArgumentError("save_if= is a function of the status of an answer: lambda status: status < 500")
