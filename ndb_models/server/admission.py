"""Admission: every HTTP request to the port comes here before it may become a WebSocket.

`/healthz` and `/readyz` answer everyone. `/metrics` needs an admin's token if tokens are in use. `/dashboard/` is the
status page, if the server has one; it decides by itself who may see it. Any other request is a handshake, and these
checks run in order: 503 while the server is not ready, 429 for too many handshakes from the address, 403 for an
`Origin` that is not allowed, 401 without a known token, 503 if the server is full or short of descriptors, 429 if the
address has too many clients.
"""

from __future__ import annotations

import logging
import time
from email.utils import formatdate
from enum import Enum
from http import HTTPStatus
from typing import Final, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from ndb_models.errors import StoreError
from ndb_models.server.connection import NdbServerConnection
from ndb_models.server.connection_registry import ConnectionRegistry
from ndb_models.server.context import ServerContext
from ndb_models.server.generations import WorkerState
from ndb_models.server.metrics import CONTENT_TYPE, exposition
from ndb_models.server.rate_limits import AddressRateLimit
from ndb_models.server.tokens import OPEN_TO_ALL, Grant, Role, Tokens
from ndb_models.server.traffic import Refusal
from ndb_models.types import Clock

_logger = logging.getLogger(__name__)

_ENDPOINTS: Final = ("/healthz", "/readyz", "/metrics")
_READING: Final = ("GET", "HEAD")
_PLAIN: Final = "text/plain; charset=utf-8"
GENERATION_HEADER: Final = "NDB-Generation"
"""The header of `/readyz` with the oldest generation of tokens and certificates that a worker serves."""
_REALM: Final = 'Bearer realm="ndb_models"'


PAGE: Final = "/dashboard"
"""The path of the status page, if the server has one."""


class Page(Protocol):
    """Serves the status page."""

    async def respond(self, request: Request, address: str, *, ready: bool) -> Response:
        """Answer a request whose path is the page's, or below it."""
        ...


class Readiness(Enum):
    """The stages in the life of a server."""

    LOADING = "loading"
    READY = "ready"
    STOPPING = "stopping"


_NO_PAGE: Final = "This server has no status page: start it with --dashboard.\n"


class Admission:
    """Admits requests, or answers them. Serves websockets as its `process_request`."""

    def __init__(
        self,
        context: ServerContext,
        state: WorkerState,
        registry: ConnectionRegistry[NdbServerConnection],
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self.readiness = Readiness.LOADING
        self.tokens: Tokens | None = context.options.tokens
        self.page: Page | None = None
        self._options = context.options
        self._engine = context.engine
        self._traffic = context.traffic
        self._state = state
        self._registry = registry
        rate = context.options.handshake_rate_per_address
        self._rates = None if rate is None else AddressRateLimit(rate, clock)
        self._clock = clock
        self._started = clock()

    async def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the HTTP answer to a request; None if it may become a WebSocket."""
        assert isinstance(connection, NdbServerConnection)
        # websockets before 17 has no `method`: it only lets GET come this far.
        method: str = getattr(request, "method", "GET")
        path = request.path.partition("?")[0]
        is_of_page = path == PAGE or path.startswith(f"{PAGE}/")
        if is_of_page and self.page is None and "Upgrade" not in request.headers:
            self._registry.become_probe(connection)
            return _answer(HTTPStatus.NOT_FOUND, _NO_PAGE)
        if is_of_page and self.page is not None:
            self._registry.become_probe(connection)
            is_ready = self.readiness is Readiness.READY
            return await self.page.respond(request, connection.address, ready=is_ready)
        if path not in _ENDPOINTS:
            return self._handshake(connection, request)
        self._registry.become_probe(connection)
        if method not in _READING:
            return _answer(HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD\n", {"Allow": ", ".join(_READING)})
        response = await self._metrics(request) if path == "/metrics" else await self._probe(path)
        if method == "HEAD":
            response.body = b""
        return response

    async def _probe(self, path: str) -> Response:
        if path == "/healthz":
            return _answer(HTTPStatus.OK, "ok\n")
        more = {GENERATION_HEADER: str(self._state.generations.oldest)}
        if self.readiness is not Readiness.READY:
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{self.readiness.value}\n", more)
        try:
            await self._engine.check()
        except StoreError as exc:
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{exc.reason}\n", more)
        return _answer(HTTPStatus.OK, f"{self.readiness.value}\n", more)

    def _handshake(self, connection: NdbServerConnection, request: Request) -> Response | None:
        traffic = self._traffic
        if self.readiness is not Readiness.READY:
            return self._refuse(connection, Refusal.NOT_READY, f"The server is {self.readiness.value}.\n")
        if self._rates is not None and not self._rates.take(connection.address):
            return self._refuse(connection, Refusal.ADDRESS, "There are too many handshakes from this address.\n")
        if any(origin not in self._options.allow_origins for origin in request.headers.get_all("Origin")):
            return self._refuse(connection, Refusal.ORIGIN, "Pages of this origin may not connect.\n")
        grant = self._grant(request)
        if grant is None:
            return self._refuse(connection, Refusal.TOKEN, "A token that this server knows is needed.\n", request)
        if traffic.admitted >= self._options.max_connections or connection.only_probes:
            return self._refuse(connection, Refusal.FULL, "There are as many clients as there may be.\n")
        if self._registry.has_too_many_clients(connection.address):
            text = "There are as many clients of this address as there may be.\n"
            return self._refuse(connection, Refusal.ADDRESS, text)
        self._registry.become_client(connection)
        connection.grant = grant
        connection.admit(admin=grant.role is Role.ADMIN)
        return None

    def _grant(self, request: Request) -> Grant | None:
        """Return the grant of a request's token, or None; without tokens in use, everyone may do everything."""
        if self.tokens is None:
            return OPEN_TO_ALL
        given = request.headers.get_all("Authorization")
        return self.tokens.grant_of(given[0]) if len(given) == 1 else None

    def _refuse(
        self, connection: NdbServerConnection, reason: Refusal, text: str, request: Request | None = None
    ) -> Response:
        connection.note_refusal(reason)
        if request is not None:
            return _unauthorized(request, text)
        if reason is Refusal.ORIGIN:
            return _answer(HTTPStatus.FORBIDDEN, text)
        status = HTTPStatus.TOO_MANY_REQUESTS if reason is Refusal.ADDRESS else HTTPStatus.SERVICE_UNAVAILABLE
        return _answer(status, text, {"Retry-After": "1"})

    async def _metrics(self, request: Request) -> Response:
        grant = self._grant(request)
        if grant is None:
            return _unauthorized(request, "An admin's token is needed.\n")
        if grant.role is not Role.ADMIN:
            challenge = f'{_REALM}, error="insufficient_scope"'
            return _answer(HTTPStatus.FORBIDDEN, "An admin's token is needed.\n", {"WWW-Authenticate": challenge})
        try:
            statistics = await self._engine.statistics()
        except StoreError as exc:
            _logger.warning("the store cannot be counted for /metrics: %s", exc.reason)
            statistics = None  # the other metrics are needed most when something is wrong
        text = exposition(
            self._traffic, self._engine.answer_counts, statistics, self._clock() - self._started, self._state
        )
        return _answer(HTTPStatus.OK, text, {"Content-Type": CONTENT_TYPE})


def _unauthorized(request: Request, text: str) -> Response:
    """Ask for a token (RFC 6750, section 3); give an error code only if the request had a token."""
    challenge = f'{_REALM}, error="invalid_token"' if "Authorization" in request.headers else _REALM
    return _answer(HTTPStatus.UNAUTHORIZED, text, {"WWW-Authenticate": challenge})


def _answer(status: HTTPStatus, text: str, more: dict[str, str] | None = None) -> Response:
    body = text.encode()
    headers = {
        "Date": formatdate(usegmt=True),
        "Connection": "close",
        "Content-Length": str(len(body)),
        "Content-Type": _PLAIN,
        "Cache-Control": "no-store",
        **(more or {}),
    }
    return Response(status.value, status.phrase, Headers(headers), body)
