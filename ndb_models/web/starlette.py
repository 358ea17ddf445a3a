"""`WebSessions`: typed sessions for FastAPI, Starlette and any ASGI application."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Final, TypeVar

from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket

from ndb_models.client import NdbClient
from ndb_models.clocks import wall_clock
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.repository.credential_verbs import GRACE
from ndb_models.schema import Expiry, SessionModel
from ndb_models.types import Clock
from ndb_models.web.adopting import StarletteCookie
from ndb_models.web.cookies import CookieSettings
from ndb_models.web.csrf import CsrfCheck, CsrfMode, draw_csrf_token
from ndb_models.web.csrf_gate import CsrfGate
from ndb_models.web.http_errors import RETRY_AFTER
from ndb_models.web.request_verbs import RequestVerbs
from ndb_models.web.viewed_class import ViewedClass, viewed_class
from ndb_models.web.watching import bound

M = TypeVar("M", bound=SessionModel)

_logger = logging.getLogger("ndb_models.web")


def _is_success(status: int) -> bool:
    return status < 400


class WebSessions(RequestVerbs[M]):
    """The typed sessions of a web application.

        sessions = WebSessions("sqlite:///sessions.db", UserSession)
        app = FastAPI(middleware=[sessions.middleware])

        @app.get("/")
        async def home(session: Annotated[UserSession, Depends(sessions.current)]) -> str: ...

    Changes of the session are stored just before the answer begins, if the request succeeded. All verbs may be called
    from several tasks of a request. `docs/web.md` describes each case.

    Args:
        store: a URI, as for `NdbClient`, or a client, which stays yours to close. A client of a URI opens at its first
            use, and the middleware closes it with the application. It answers within seconds, also if the store is away
            or hangs.
        model: the class of the sessions. Fields with `Principal()` name its user.
        namespace: as for `Repository`.
        cookie: the name and the attributes of the cookie; `__Host-session` by default.
        development: True for plain HTTP on your own machine. Only hosts that are loopback are served then.
        short: the expiry of sessions without `remember=True`. Their cookies end with the browser.
        renew_every: the age at which a cookie is replaced, a timedelta or seconds; None for never.
        grace: the time for which a replaced cookie still works, for requests under way, a timedelta or seconds.
        save_if: tells by the status of an answer whether the request succeeded: below 400 by default. An accepted
            WebSocket counts as 101.
        csrf: True checks that requests come from this site. `"token"` also asks for a token from those that do not say
            where they come from. False turns the check off.
        trusted_origins: further origins that may make requests.
        request_session: True gives requests a `request.session`, and reads the session of each that shows a cookie.
            None, the default, is True for a class with `extra="allow"`.
        token: the bearer token that the server of a URI asks for, as for `NdbClient`; None for no token. Never shown.
        adopt: cookies of Starlette's SessionMiddleware. Their sessions are carried over.
        clock: tells the time in seconds since 1970.

    Raises:
        InvalidArgumentError: an option is wrong.
        SchemaError: the class cannot be stored, or has `Principal()` in a wrong place.
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
        token: str | None = None,
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
            token=token,
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
        self.looks_first: bool = development or self.viewed is not None
        """True if each request is looked at before the application gets it."""
        self.notices: CookieNotices = CookieNotices(in_development=development)
        self._lives = 0

    @property
    def middleware(self) -> Middleware:
        """The middleware of these sessions, for the list of an application.

            app = FastAPI(middleware=[sessions.middleware])

        `app.add_middleware(SessionMiddleware, sessions=sessions)` does the same.
        """
        from ndb_models.web.middleware import SessionMiddleware

        return Middleware(SessionMiddleware, sessions=self)

    async def csrf_token(self, request: HTTPConnection) -> str:
        """Return a CSRF token of the session, for the field `csrf_token` of a form, or the header `X-CSRF-Token`.

        Each call returns another one; all hold as long as the session. If the request has put the first values into
        `request.session`, its session is made now. Without a session the token is an empty text: a request without a
        cookie needs none.

        Raises:
            SessionsUnavailableError: the store is away: 503.
            CrossSiteError, UnstorableError: `request.session` has values, but no session can be made of them.
        """
        session = await self.optional(request)
        if session is None:
            session = await self.or_503(self.exchange_of(request).session_of_draft())
        return "" if session is None else draw_csrf_token(session.tkn)

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
        return bound(websocket, self.optional, ended, self.exchange_of(websocket).client_left)

    # The life of the application

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Say at the start how things are, and close the client at the end. A client that was given is left open.

        The middleware does that around the application. Where the server knows no lifespan, or a lifespan of your own
        uses the sessions to its end, `async with sessions.lifespan(app)`. The last one to end closes the client.

        If the store is away, the application starts all the same, and answers 503 until the store is there.
        """
        self._lives += 1
        try:
            if self._lives == 1:
                await self._begin()
            yield
        finally:
            self._lives -= 1
            if self.owns_client and not self._lives:
                await self.client.close()

    async def _begin(self) -> None:
        self.notices.announce()
        reason = await why_not_ready(self.client)
        if reason is not None:
            _logger.warning("the store of %s gives no answer at the start: %s", self.model.__name__, reason)

    async def ready(self) -> bool:
        """Return True if the store answers, within two seconds."""
        reason = await why_not_ready(self.client)
        if reason is not None:
            _logger.debug("the store of %s is not ready: %s", self.model.__name__, reason)
        return reason is None

    async def readyz(self, request: Request) -> Response:
        """Answer a probe: 200 if the store answers, else 503. `app.add_route("/readyz", sessions.readyz)`."""
        if await self.ready():
            return PlainTextResponse("ready")
        return PlainTextResponse("the store is away", 503, {"Retry-After": str(RETRY_AFTER)})


def _check_options(cookie: object, development: object, save_if: object) -> None:
    if not isinstance(cookie, (CookieSettings, type(None))):
        raise InvalidArgumentError('cookie= is a CookieSettings: cookie=CookieSettings(name="__Host-shop")')
    if not isinstance(development, bool):
        raise InvalidArgumentError("development= is True or False")
    if not callable(save_if):
        raise InvalidArgumentError("save_if= is a function of the status of an answer: lambda status: status < 500")


# Seconds in which a store that is ready answers a probe.
_TIMEOUT: Final = 2.0


async def why_not_ready(client: NdbClient) -> str | None:
    """Return why the store of a client gives no answer within two seconds; None if it gives one."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            await client.sh_session_exists([0])
    except NdbError as exc:
        return str(exc)
    except TimeoutError:
        return f"it was waited for {_TIMEOUT:g} s"
    return None


class CookieNotices:
    """The notices of one application.

    Args:
        in_development: the cookie is sent over plain HTTP.
    """

    def __init__(self, *, in_development: bool) -> None:
        self._is_to_announce = in_development
        self._is_to_warn = True

    def announce(self) -> None:
        """Log that the cookie is not protected in development."""
        if self._is_to_announce:
            self._is_to_announce = False
            _logger.warning(
                "development=True: the session cookie is sent over plain http, without Secure and the prefix __Host-;"
                " only requests to localhost are answered. Leave it out in production"
            )

    def warn_of_plain_http(self) -> None:
        """Log that a browser will not keep a cookie that comes over plain HTTP."""
        if self._is_to_warn:
            self._is_to_warn = False
            _logger.warning(
                "a Secure cookie is sent over plain http, and some browsers drop it: say WebSessions(development=True)"
                " on your own machine; behind a proxy with TLS, let the server trust its headers, such as"
                " uvicorn --proxy-headers --forwarded-allow-ips=ADDRESS"
            )
