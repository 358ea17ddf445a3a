"""`Dashboard`: the status page as an ASGI application, to mount into your own."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias, TypeGuard, cast

from ndb_models.client import NdbClient
from ndb_models.clocks import wall_clock
from ndb_models.dashboard.client_source import ClientSource
from ndb_models.dashboard.documents import SchemaFacts
from ndb_models.dashboard.figures import EVERY
from ndb_models.dashboard.page import Answer, PageRequest, StatusPage, refusal
from ndb_models.dashboard.session_ids import KEY_BYTES, SessionIds
from ndb_models.dashboard.sessions_view import SessionsView
from ndb_models.dashboard.store_figures import CHARTS, StoreFigures
from ndb_models.errors import InvalidArgumentError
from ndb_models.repository import Repository
from ndb_models.repository.parts import parts_of
from ndb_models.schema.lookup import lookups_of
from ndb_models.schema.secret_fields import secret_fields_of
from ndb_models.types import Clock
from ndb_models.version import __version__

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

Allow: TypeAlias = Callable[[Scope], str | bool | None | Awaitable[str | bool | None]]
"""Decides who may see the page. Takes the ASGI scope of a request. Returns True, or the person's name for the log, for
an admin. Anything else refuses the request with 403."""

_NOBODY: Final = "This page is for admins."


class Dashboard:
    """The status page of an application: figures, and sessions to find, to look at and to end.

        app.mount("/sessions", Dashboard(repo, allow=is_admin))

    The application decides who is an admin: `allow` judges every request. If it raises an error, the application gets
    that error, and no page is shown.

    Args:
        store: the sessions to show. A repository, or several of one client: the sessions of their models. A client: all
            sessions of the store. A client of a server with tokens needs one for admins.
        allow: see `Allow`.
        write: True lets the page end sessions. Repositories end their sessions with `delete`, hooks included.
        key: 32 random bytes, by which the page names sessions. Processes that serve one page need the same key; without
            it, each has one of its own.
        clock: tells the time in seconds since 1970.

    Raises:
        InvalidArgumentError: an argument is wrong.
    """

    def __init__(
        self,
        store: NdbClient | Repository[Any] | Iterable[Repository[Any]],
        *,
        allow: Allow,
        write: bool = False,
        key: bytes | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        client, shown = _parts(store)
        _check(allow, write, key)
        self._allow = allow
        source = ClientSource(client, {schema: repo.delete for schema, repo in shown.items()})
        models = {schema: parts_of(repo).model for schema, repo in shown.items()}
        known = {
            schema: SchemaFacts(tuple(lookups_of(model)), secret_fields_of(model)) for schema, model in models.items()
        }
        ids = SessionIds(secrets.token_bytes(KEY_BYTES) if key is None else key)
        about = {
            "title": "Sessions",
            "version": __version__,
            "store": "of this application",
            "login": False,
            "every": EVERY,
            "charts": [chart._asdict() for chart in CHARTS],
        }
        view = SessionsView(source, ids, known=known or None, clock=clock)
        self._page = StatusPage(view, StoreFigures(source, clock=clock).since, about, write=write)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Anything but HTTP is refused."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        else:
            answer = await self._answer(scope)
            await _send_answer(answer, send, with_body=scope["method"] != "HEAD")

    async def _answer(self, scope: Scope) -> Answer:
        decided = self._allow(scope)
        who: object = await decided if inspect.isawaitable(decided) else decided
        if who is not True and not (isinstance(who, str) and who):
            return refusal(HTTPStatus.FORBIDDEN, _NOBODY)
        root = str(scope.get("root_path", ""))
        path = str(scope["path"])
        # Some servers and frameworks leave the mount's own path out.
        below = path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path
        if not below:
            return refusal(HTTPStatus.PERMANENT_REDIRECT, "The page ends in a slash.", {"Location": f"{root}/"})
        request = PageRequest(scope["method"], below.removeprefix("/"), _headers(scope))
        return await self._page.answer(request, who if isinstance(who, str) else "an admin")


def _parts(store: object) -> tuple[NdbClient, dict[str, Repository[Any]]]:
    """Return the client, and by schema the repositories whose sessions are shown; none for all sessions."""
    if isinstance(store, NdbClient):
        return store, {}
    given = [*cast("Iterable[object]", store)] if isinstance(store, Iterable) else [store]
    repositories = [each for each in given if _is_repository(each)]
    if not repositories or len(repositories) < len(given):
        raise InvalidArgumentError(
            "a Dashboard shows a client, or one or more repositories: Dashboard(repo, allow=...)"
        )
    clients = [parts_of(repo).client for repo in repositories]
    if any(client is not clients[0] for client in clients):
        raise InvalidArgumentError("the repositories of a Dashboard have one client; mount one Dashboard for each")
    return clients[0], {parts_of(repo).schema: repo for repo in repositories}


def _is_repository(given: object) -> TypeGuard[Repository[Any]]:
    return isinstance(given, Repository)


def _check(allow: object, write: object, key: object) -> None:
    if not callable(allow):
        raise InvalidArgumentError("allow= is a function that tells by the ASGI scope who is an admin")
    if not isinstance(write, bool):
        raise InvalidArgumentError("write= is True or False")
    if key is not None and not (isinstance(key, bytes) and len(key) >= KEY_BYTES):
        raise InvalidArgumentError(f"key= is at least {KEY_BYTES} random bytes: secrets.token_bytes({KEY_BYTES})")


def _headers(scope: Scope) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


async def _live(receive: Receive, send: Send) -> None:
    """Take part in the lifespan of a server that runs this application by itself."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _send_answer(answer: Answer, send: Send, *, with_body: bool) -> None:
    headers = {"Content-Length": str(len(answer.body)), **answer.headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status.value, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})
