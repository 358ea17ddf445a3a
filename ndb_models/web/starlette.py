"""`WebSessions` and `SessionMiddleware`: typed sessions for FastAPI, Starlette and any ASGI application.

The middleware keeps one `Exchange` for each request. It opens no session before the application asks for one, and
concludes the visit as the answer begins.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from ndb_models.client import NdbClient
from ndb_models.clocks import wall_clock
from ndb_models.errors import InvalidArgumentError, UnavailableError
from ndb_models.schema import Expiry, SessionModel
from ndb_models.types import Clock
from ndb_models.web.adopting import StarletteCookie
from ndb_models.web.cookies import CookieSettings
from ndb_models.web.csrf import CsrfCheck, CsrfMode, draw_csrf_token
from ndb_models.web.csrf_gate import CsrfGate, refuse
from ndb_models.web.exchange import Exchange, is_from
from ndb_models.web.http_errors import CrossSiteError, NotLoggedInError, SessionsUnavailableError
from ndb_models.web.sessions import GRACE, VisitedSessions
from ndb_models.web.viewed_class import ViewedClass, viewed_class
from ndb_models.web.watching import bound

M = TypeVar("M", bound=SessionModel)

_KEY: Final = "ndb_models.web"

_logger = logging.getLogger("ndb_models.web")


def _is_success(status: int) -> bool:
    return status < 400


class WebSessions(VisitedSessions[M]):
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
        settings = CookieSettings() if cookie is None else cookie
        self.development: bool = development
        self.cookie: CookieSettings = settings.in_development if development else settings
        self.cookie_name: bytes = self.cookie.name.encode()
        self.save_if: Callable[[int], bool] = save_if
        self.csrf: CsrfGate = CsrfGate(check, self.cookie_name, adopt)
        self.viewed: ViewedClass[M] | None = viewed_class(model, request_session)
        self._has_warned = False

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

    # Verbs

    async def login(self, request: HTTPConnection, session: M, *, remember: bool = False) -> M:
        """Log in: make a session the one of this browser. Return its model.

        A new model is stored at once. If the request fails, that session is ended again; if it succeeds, the session
        that the request came with is ended.

        Raises:
            AnswerBegunError: the answer has begun.
            CrossSiteError: a page of another site makes the request: 403. `trusted_origins=` lists those that may.
            SessionsUnavailableError: the store is away: 503.
            DuplicateError, UnstorableError, PayloadTooLargeError: as `Repository.create`.
        """
        visit = self._exchange(request).before_answer("login()")
        self.refuse_cross_site(request.scope)
        try:
            return await self.login_visit(visit, session, remember=remember)
        except UnavailableError as exc:
            raise SessionsUnavailableError(self.model.__name__) from exc

    async def logout(self, request: HTTPConnection) -> bool:
        """Log out: end the session of the request at once, and remove the cookie. Return False if there was none.

        Raises:
            AnswerBegunError: the answer has begun.
            SessionsUnavailableError: the store is away: 503. The session may still be there.
        """
        visit = self._exchange(request).before_answer("logout()")
        try:
            return await self.logout_visit(visit)
        except UnavailableError as exc:
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
        return bound(websocket, self.optional, functools.partial(self.repo.ended, poll=poll))

    def _exchange(self, connection: HTTPConnection) -> Exchange[M]:
        exchange: Exchange[M] | None = connection.scope.get(_KEY, {}).get(self)
        if exchange is None:
            raise InvalidArgumentError(
                "these sessions have no middleware here: app.add_middleware(SessionMiddleware, sessions=sessions)"
            )
        return exchange

    def warn_of_plain_http(self) -> None:
        """Log, once, that a browser will not keep a cookie that comes over plain HTTP."""
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "a Secure cookie is sent over plain http, and browsers drop it: say WebSessions(development=True) on"
                " your own machine; behind a proxy with TLS, let the server trust its headers, such as"
                " uvicorn --proxy-headers --forwarded-allow-ips=ADDRESS"
            )

    # The life of the application

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Close the client at the end, if it was made of a URI: `FastAPI(lifespan=sessions.lifespan)`.

        The application starts even if the store is away, and answers 503 until it is there.
        """
        try:
            yield
        finally:
            if self.owns_client:
                await self.client.close()


class SessionMiddleware:
    """Gives the requests of an ASGI application their sessions.

    Args:
        app: the application.
        sessions: the sessions.
    """

    def __init__(self, app: ASGIApp, sessions: WebSessions[Any]) -> None:
        given: object = sessions
        if not isinstance(given, WebSessions):
            raise InvalidArgumentError("app.add_middleware(SessionMiddleware, sessions=WebSessions(...))")
        self.app = app
        self.sessions: WebSessions[Any] = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        admitted = await self.sessions.csrf.admitted(scope, receive)
        if admitted is None:
            await refuse(scope, send)
            return
        exchange = Exchange(self.sessions, scope, send)
        scope.setdefault(_KEY, {})[self.sessions] = exchange
        if not await exchange.show_session():
            return
        try:
            await self.app(scope, admitted, exchange.send)
        except BaseException as exc:
            await exchange.fail()
            if exchange.is_answered and is_from(exc, exchange.failure):
                return
            raise
        await exchange.end()
