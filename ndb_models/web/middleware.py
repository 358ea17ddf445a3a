"""`SessionMiddleware`: gives the requests of an ASGI application their sessions.

It keeps one `Exchange` for each request. It opens no session before the application asks for one, and concludes the
visit as the answer begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ndb_models.errors import InvalidArgumentError
from ndb_models.web.csrf_gate import refuse
from ndb_models.web.exchange import SCOPE_KEY, Exchange, is_from
from ndb_models.web.starlette import WebSessions


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
        sessions = self.sessions
        exchange = Exchange(sessions, scope, send)
        others = scope.get(SCOPE_KEY)
        if others is None:
            others = scope[SCOPE_KEY] = {sessions: exchange}
        elif sessions in others:  # the middleware stands around this one too
            await self.app(scope, receive, send)
            return
        else:
            _refuse_same_name(sessions, others)
            others[sessions] = exchange
        try:
            await self._answer(exchange, scope, receive)
        finally:
            del others[sessions]  # the two hold each other, and would wait for the garbage collector

    async def _answer(self, exchange: Exchange[Any], scope: Scope, receive: Receive) -> None:
        sessions = self.sessions
        if sessions.development:
            sessions.notices.announce()
            if not exchange.is_local:
                await exchange.refuse_host()
                return
        admitted = await sessions.csrf.admitted(scope, receive)
        if admitted is None:
            await refuse(scope, exchange.send)
            return
        if not await exchange.show_session():
            return
        try:
            await self.app(scope, exchange.listen(admitted), exchange.send)
        except BaseException as exc:
            await exchange.fail(exc)
            if exchange.is_answered and is_from(exc, exchange.failure):
                return
            raise
        finally:
            exchange.stop_listening()
        await exchange.end()


def _refuse_same_name(sessions: WebSessions[Any], others: Iterable[WebSessions[Any]]) -> None:
    name = sessions.cookie.name
    for other in others:
        if other.cookie.name == name:
            raise InvalidArgumentError(
                f"{sessions.model.__name__} and {other.model.__name__} both have the cookie {name}: give one of them"
                ' another, WebSessions(..., cookie=CookieSettings(name="__Host-admin"))'
            )
