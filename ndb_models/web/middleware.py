"""`SessionMiddleware`: gives the requests of an ASGI application their sessions.

It keeps one `Exchange` for each request. It opens no session before the application asks for one, and concludes the
visit as the answer begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ndb_models.errors import InvalidArgumentError
from ndb_models.web.csrf import ALLOWED
from ndb_models.web.exchange import SCOPE_KEY, Exchange, is_from
from ndb_models.web.starlette import WebSessions
from ndb_models.web.viewed_class import REFUSED


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
            await (self._live if kind == "lifespan" else self.app)(scope, receive, send)
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
        if sessions.viewed is None:
            scope.setdefault("session", REFUSED)
        try:
            verdict = sessions.csrf.verdict(scope)
            if verdict is not ALLOWED or sessions.looks_first or kind == "websocket":
                admitted = await exchange.admitted(verdict, receive)
                if admitted is None:
                    return
                receive = admitted
            await self.app(scope, receive, exchange.send)
            if exchange.has_begun:
                exchange.refuse_late_changes()
            else:
                await exchange.fail()
        except BaseException as exc:
            await exchange.fail(exc)
            if exchange.is_answered and is_from(exc, exchange.failure):
                return
            raise
        finally:
            if kind == "websocket":
                exchange.stop_listening()
            del others[sessions]  # the two hold each other, and would wait for the garbage collector

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lifespan of the application, and that of the sessions around it.

        It begins before the server is told that the application has started, and ends before the server is told that
        it has stopped.
        """
        async with AsyncExitStack() as life:

            async def noting(message: Message) -> None:
                if message["type"] == "lifespan.startup.complete":
                    await life.enter_async_context(self.sessions.lifespan())
                elif message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                    await life.aclose()
                await send(message)

            await self.app(scope, receive, noting)


def _refuse_same_name(sessions: WebSessions[Any], others: Iterable[WebSessions[Any]]) -> None:
    name = sessions.cookie.name
    for other in others:
        if other.cookie.name == name:
            raise InvalidArgumentError(
                f"{sessions.model.__name__} and {other.model.__name__} both have the cookie {name}: give one of them"
                ' another, WebSessions(..., cookie=CookieSettings(name="__Host-admin"))'
            )
