"""Applications for tests: the handlers of a test, each at the path of its name, with sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ndb_models import Expiry, Lookup, SessionModel
from ndb_models.web import Principal, SessionMiddleware, WebSessions

WEEK = timedelta(days=7)


class Shopper(SessionModel, schema="web.shopper", expiry=Expiry(idle=1800, absolute=WEEK), track=60):
    """A session of a shop: an anonymous cart, or a user's."""

    user: Annotated[int | None, Principal(), Lookup()] = None
    role: Annotated[str, Principal()] = "guest"
    cart: dict[str, int] = {}
    note: str = ""


Handler = Callable[[Request], Awaitable[Any]]


def application(sessions: WebSessions[Any], *handlers: Handler, **options: Any) -> Starlette:
    """Return an application that calls each handler at the path of its name. What is no answer is sent as JSON."""
    return Starlette(
        routes=routes(*handlers),
        middleware=[Middleware(SessionMiddleware, sessions=sessions)],
        **options,
    )


def routes(*handlers: Handler) -> list[Route]:
    """Return the routes of handlers."""
    return [Route(f"/{handler.__name__}", _answering(handler), methods=["GET", "POST"]) for handler in handlers]


def _answering(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        returned = await handler(request)
        return returned if isinstance(returned, Response) else JSONResponse(returned)

    return answer


class Shop:
    """The handlers that most tests need."""

    def __init__(self, sessions: WebSessions[Shopper]) -> None:
        self.sessions = sessions

    async def login(self, request: Request) -> None:
        user = int(request.query_params.get("user", "7"))
        remember = "remember" in request.query_params
        await self.sessions.login(request, Shopper(user=user), remember=remember)

    async def browse(self, request: Request) -> None:
        """Begin an anonymous cart."""
        await self.sessions.login(request, Shopper())

    async def identify(self, request: Request) -> None:
        """Log in with the session that there is."""
        session = await self.sessions.current(request)
        session.user = int(request.query_params.get("user", "7"))
        await self.sessions.login(request, session, remember="remember" in request.query_params)

    async def add(self, request: Request) -> dict[str, int]:
        session = await self.sessions.current(request)
        session.cart[request.query_params["item"]] = 1
        return session.cart

    async def whoami(self, request: Request) -> int | None:
        session = await self.sessions.optional(request)
        return None if session is None else session.user

    async def cart(self, request: Request) -> dict[str, int]:
        return (await self.sessions.current(request)).cart

    async def promote(self, request: Request) -> None:
        (await self.sessions.current(request)).role = "admin"

    async def logout(self, request: Request) -> bool:
        return await self.sessions.logout(request)

    async def plain(self, request: Request) -> str:
        return "no session"

    @property
    def handlers(self) -> list[Handler]:
        names = ("login", "browse", "identify", "add", "whoami", "cart", "promote", "logout", "plain")
        return [getattr(self, name) for name in names]


def shop(sessions: WebSessions[Shopper], *more: Handler, **options: Any) -> Starlette:
    """Return an application with the handlers of `Shop`, and more."""
    return application(sessions, *Shop(sessions).handlers, *more, **options)
