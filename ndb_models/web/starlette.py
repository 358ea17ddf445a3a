"""`WebSessions` and `SessionMiddleware`: typed sessions for FastAPI, Starlette and any ASGI application.

The middleware keeps one `_Exchange` for each request. It opens no session before the application asks for one, and
concludes the visit as the answer begins.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ndb_models.client import NdbClient
from ndb_models.clocks import wall_clock
from ndb_models.errors import InvalidArgumentError, SessionGoneError, UnavailableError
from ndb_models.schema import Expiry, SessionModel
from ndb_models.types import Clock
from ndb_models.web.answers import with_cookie_headers
from ndb_models.web.cookies import CookieSettings, shown_cookie
from ndb_models.web.errors import AnswerBegunError, ChangedTooLateError
from ndb_models.web.http_errors import RETRY_AFTER, NotLoggedInError, SessionsUnavailableError
from ndb_models.web.sessions import GRACE, RunningVisit, VisitedSessions
from ndb_models.web.visit import CookieChange

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
        clock: Clock = wall_clock,
    ) -> None:
        super().__init__(
            store, model, namespace=namespace, short=short, renew_every=renew_every, grace=grace, clock=clock
        )
        settings = CookieSettings() if cookie is None else cookie
        self.development: bool = development
        self.cookie: CookieSettings = settings.in_development if development else settings
        self.cookie_name: bytes = self.cookie.name.encode()
        self.save_if: Callable[[int], bool] = save_if
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
            SessionsUnavailableError: the store is away: 503.
            DuplicateError, UnstorableError, PayloadTooLargeError: as `Repository.create`.
        """
        visit = self._exchange(request).before_answer("login()")
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
        exchange = Exchange(self.sessions, scope, send)
        scope.setdefault(_KEY, {})[self.sessions] = exchange
        try:
            await self.app(scope, receive, exchange.send)
        except BaseException as exc:
            await exchange.fail()
            if exchange.is_answered and _is_from(exc, exchange.failure):
                return
            raise
        await exchange.end()


class Exchange(Generic[M]):
    """One request and its answer."""

    __slots__ = ("_has_begun", "_scope", "_send", "_sessions", "failure", "is_answered", "visit")

    def __init__(self, sessions: WebSessions[M], scope: Scope, send: Send) -> None:
        self._sessions = sessions
        self._scope = scope
        self._send = send
        self._has_begun = False
        self.visit: RunningVisit[M] | None = None
        self.failure: BaseException | None = None
        """What failed as the visit was concluded."""
        self.is_answered: bool = False
        """True if the request was answered here, in place of the application."""

    def touched(self) -> RunningVisit[M]:
        """Return the visit of the request, for a use of its session."""
        if self.visit is None:
            sessions = self._sessions
            shown = shown_cookie(self._scope["headers"], sessions.cookie_name)
            self.visit = RunningVisit(shown, sessions.rules)
        return self.visit

    def before_answer(self, what: str) -> RunningVisit[M]:
        """Return the visit, for a use that sets a cookie."""
        if self._has_begun:
            raise AnswerBegunError(self._sessions.model.__name__, what)
        return self.touched()

    async def send(self, message: Message) -> None:
        """Send a message of the application. The visit is concluded before the first one."""
        if self._has_begun:
            if self.failure is not None:
                raise self.failure
            await self._send(message)
            return
        kind = message["type"]
        if kind in _BEGINNINGS:
            self._has_begun = True
            visit = self.visit
            if visit is not None:
                await self._conclude(visit, message.get("status", _BEGINNINGS[kind]))
                if kind != "websocket.close":
                    message = {**message, "headers": self._with_headers(visit, message.get("headers", ()))}
        await self._send(message)

    async def _conclude(self, visit: RunningVisit[M], status: int) -> None:
        try:
            await self._sessions.conclude(visit, succeeded=self._sessions.save_if(status))
        except BaseException as exc:
            self.failure = exc
            if isinstance(exc, UnavailableError):
                await self._answer(visit, 503, b"Try again later", (b"retry-after", b"%d" % RETRY_AFTER))
            elif isinstance(exc, SessionGoneError):
                await self._answer(visit, 401, b"Not logged in")
            elif visit.credential is not None and isinstance(exc, Exception):
                await self._answer(visit, 500, b"Internal Server Error")
                self.is_answered = False  # it is answered, and the error goes up all the same
            raise

    async def _answer(self, visit: RunningVisit[M], status: int, text: bytes, *more: tuple[bytes, bytes]) -> None:
        self.is_answered = True
        if self._scope["type"] == "websocket":
            await self._send({"type": "websocket.close", "code": 1013 if status == 503 else 4401})
            return
        plain = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text)))
        headers = self._with_headers(visit, [*plain, *more])
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if self._scope["method"] == "HEAD" else text
        await self._send({"type": "http.response.body", "body": body})

    def _with_headers(self, visit: RunningVisit[M], headers: Any) -> list[tuple[bytes, bytes]]:
        return with_cookie_headers(headers, self._set_cookie(visit), is_private=visit.is_shown)

    def _set_cookie(self, visit: RunningVisit[M]) -> bytes | None:
        change = visit.cookie
        if change is CookieChange.NONE:
            return None
        cookie = self._sessions.cookie
        if cookie.secure and self._scope["scheme"] in ("http", "ws"):
            self._sessions.warn_of_plain_http()
        if change is CookieChange.CLEAR:
            return cookie.clearing_header
        return cookie.header(str(visit.credential), visit.max_age)

    async def fail(self) -> None:
        """End what the request began, unless the visit was concluded."""
        if self.visit is not None and not self._has_begun:
            self._has_begun = True
            await self._sessions.conclude(self.visit, succeeded=False)

    async def end(self) -> None:
        """Refuse changes that came too late to be stored.

        Raises:
            ChangedTooLateError: there are some.
        """
        visit = self.visit
        if visit is None:
            return
        if not self._has_begun:
            await self.fail()
            return
        changed = self._sessions.changed_since(visit)
        if changed:
            session = visit.session
            raise ChangedTooLateError(self._sessions.model.__name__, None if session is None else session.tkn, changed)


# The messages that begin an answer, with the status where they have none.
_BEGINNINGS: Final = {
    "http.response.start": 200,
    "websocket.accept": 101,
    "websocket.close": 403,
    "websocket.http.response.start": 200,
}


def _is_from(exc: BaseException, failure: BaseException | None) -> bool:
    """Return True if an exception is a failure, or was raised from it."""
    if failure is None:
        return False
    if isinstance(exc, BaseExceptionGroup):
        group: BaseExceptionGroup[BaseException] = exc
        return all(_is_from(each, failure) for each in group.exceptions)
    return exc is failure or (exc.__cause__ is not None and _is_from(exc.__cause__, failure))
