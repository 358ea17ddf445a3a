"""Session middlewares under the same endpoints, on ASGI itself: no routing, no HTTP server.

A session has six fields, or forty. `POST /login` begins it, `GET /read` reads one field, `POST /change` reads one field
and writes another, and `GET /untouched` does without it.

- bare: no session middleware; the endpoints only answer.
- cookie: Starlette's `SessionMiddleware`, which keeps the session in a signed cookie.
- starsessions: its middleware and its `RedisStore`. A session expires when idle.
- Redis' kit: the sessions of `fastapi-redis-sdk`, as `FastAPIRedis(app).sessions()` sets them up.
- ours: `SessionMiddleware` of `ndb_models.web`, on a store. A file waits for the disk by default; with
  `synchronous=normal` a change survives the process and not a power loss. The server for the others writes no disk.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import create_model
from starlette.middleware.sessions import SessionMiddleware as CookieMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.repository import Plain, measured
from ndb_models import Expiry, SessionModel
from ndb_models.web import Principal, SessionMiddleware, WebSessions

IDLE: Final = timedelta(minutes=30)

Endpoint = Callable[[Request], Awaitable[object]]


class Six(Plain, SessionModel, expiry=Expiry(idle=IDLE), schema="benchmark-web-six"):
    """A session of six fields. The name is its principal."""

    username: Annotated[str, Principal()]


_FURTHER: Final = {f"field_{number}": f"value {number}" for number in range(40 - len(Plain.model_fields))}
_FURTHER_FIELDS: Final[dict[str, Any]] = dict.fromkeys(_FURTHER, (str, ...))

Forty: Final = create_model(
    "Forty",
    __base__=Six,
    __module__=__name__,
    __cls_kwargs__={"expiry": Expiry(idle=IDLE), "schema": "benchmark-web-forty"},
    **_FURTHER_FIELDS,
)
"""The same and 34 short texts."""

MODELS: Final[Mapping[int, type[Six]]] = {6: Six, 40: Forty}


def example(size: int) -> Six:
    """Return a session of so many fields."""
    return MODELS[size](**measured(0).model_dump(), **(_FURTHER if size > len(Plain.model_fields) else {}))


def example_as_json(size: int) -> dict[str, object]:
    """Return the same as the values that JSON has."""
    found: dict[str, object] = json.loads(example(size).model_dump_json())
    return found


@dataclass(frozen=True)
class Endpoints:
    """What an application does with the session of a request."""

    login: Endpoint
    read: Endpoint
    change: Endpoint


@dataclass(frozen=True)
class WebSide:
    """A middleware that is compared. `opened` yields an application with sessions of so many fields."""

    name: str
    opened: Callable[[int], AbstractAsyncContextManager[ASGIApp]]


def application(endpoints: Endpoints) -> ASGIApp:
    """Return an application with these endpoints."""
    by_path: dict[str, Endpoint | None] = {
        "/login": endpoints.login,
        "/read": endpoints.read,
        "/change": endpoints.change,
        "/untouched": None,
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        endpoint = by_path[scope["path"]]
        if endpoint is not None:
            await endpoint(request)
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def on_request_session(size: int, load: Endpoint | None = None) -> Endpoints:
    """Return the endpoints for a middleware with `request.session`, which may have to be loaded first."""

    async def login(request: Request) -> None:
        if load is not None:
            await load(request)
        request.session.update(example_as_json(size))

    async def read(request: Request) -> object:
        if load is not None:
            await load(request)
        return request.session["username"]

    async def change(request: Request) -> None:
        if load is not None:
            await load(request)
        request.session["visits"] += 1

    return Endpoints(login, read, change)


async def _nothing(request: Request) -> None:
    """Answer without a session."""


@contextlib.asynccontextmanager
async def _bare(size: int) -> AsyncIterator[ASGIApp]:
    yield application(Endpoints(_nothing, _nothing, _nothing))


@contextlib.asynccontextmanager
async def _cookie(size: int) -> AsyncIterator[ASGIApp]:
    yield CookieMiddleware(application(on_request_session(size)), "a secret of the application", https_only=True)


BARE: Final = WebSide("bare", _bare)
COOKIE: Final = WebSide("cookie", _cookie)


def ours(name: str, uri: str) -> WebSide:
    """Return our middleware on the store at a URI."""

    @contextlib.asynccontextmanager
    async def opened(size: int) -> AsyncIterator[ASGIApp]:
        sessions = WebSessions(uri, MODELS[size])

        async def login(request: Request) -> None:
            await sessions.login(request, example(size))

        async def read(request: Request) -> object:
            return (await sessions.current(request)).username

        async def change(request: Request) -> None:
            session = await sessions.current(request)
            session.visits += 1

        app = application(Endpoints(login, read, change))
        async with sessions.lifespan(app):
            yield SessionMiddleware(app, sessions=sessions)

    return WebSide(name, opened)


def rivals_on_redis(uri: str) -> list[WebSide]:
    """Return the middlewares of others that keep sessions in Redis, as far as they are installed.

    The server at the URI must expire fields of hashes.
    """
    rivals = {"starsessions": _starsessions, "redis_fastapi": _redis_kit}
    return [rival(uri) for module, rival in rivals.items() if importlib.util.find_spec(module) is not None]


def _starsessions(uri: str) -> WebSide:
    @contextlib.asynccontextmanager
    async def opened(size: int) -> AsyncIterator[ASGIApp]:
        from redis.asyncio import Redis
        from starsessions import SessionMiddleware as StarsessionsMiddleware
        from starsessions import load_session
        from starsessions.stores.redis import RedisStore

        async with Redis.from_url(uri) as redis:
            app = application(on_request_session(size, load_session))
            store = RedisStore(connection=redis)
            yield StarsessionsMiddleware(app, store=store, lifetime=IDLE, rolling=True)

    return WebSide("starsessions", opened)


def _redis_kit(uri: str) -> WebSide:
    @contextlib.asynccontextmanager
    async def opened(size: int) -> AsyncIterator[ASGIApp]:
        os.environ["REDIS_URL"] = uri
        from fastapi import FastAPI
        from redis_fastapi.deps import get_session_store
        from redis_fastapi.lifespan import redis_lifespan
        from redis_fastapi.sessions import SessionMiddleware as KitMiddleware
        from redis_fastapi.sessions import add_redis_sessions

        holder = FastAPI()
        add_redis_sessions(holder, principal_keys=["username"], idle_ttl=IDLE)
        options = dict(next(each.kwargs for each in holder.user_middleware if each.cls is KitMiddleware))
        assert options["store_factory"] is get_session_store
        middleware = KitMiddleware(application(on_request_session(size)), **options)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["app"] = holder  # as FastAPI does
            await middleware(scope, receive, send)

        async with redis_lifespan(holder):
            yield app

    return WebSide("Redis' kit", opened)
