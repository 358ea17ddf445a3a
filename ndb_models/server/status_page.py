"""The status page behind the port: `/dashboard/`, for admins.

The page's own files hold no data, and everyone may load them. Its calls need a login: an admin's bearer token, sent
once in a header, becomes a cookie. While the server has no tokens, a token of this run of the server logs in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from ndb_models.dashboard.figures import EVERY, Chart, History, Reading
from ndb_models.dashboard.page import (
    API,
    Answer,
    PageRequest,
    StatusPage,
    file_answer,
    json_answer,
    refusal,
    require_same_origin,
)
from ndb_models.dashboard.refusals import CallRefusedError
from ndb_models.dashboard.session_ids import SessionIds
from ndb_models.dashboard.sessions_view import SessionsView
from ndb_models.errors import StoreError
from ndb_models.server.admission import PAGE
from ndb_models.server.context import ServerContext
from ndb_models.server.engine_source import EngineSource
from ndb_models.server.generations import WorkerState
from ndb_models.server.log_limits import LogLimit
from ndb_models.server.page_logins import SharedLogins, cookie_in, set_cookie
from ndb_models.server.rate_limits import AddressRateLimit
from ndb_models.server.shared_figures import SharedFigures
from ndb_models.server.tokens import Role, Tokens
from ndb_models.stores.contract import Statistics
from ndb_models.version import __version__

_logger = logging.getLogger(__name__)

# Attempts of one address to log in, a second; ten seconds' worth at once.
_LOGINS: Final = 0.5
# The store is counted while someone looks at the page, and counting takes at most this part of the time.
_WATCHED: Final = 15.0
_COUNTING_PART: Final = 20
# Seconds after which a count of the store is not shown any more.
_STALE: Final = 60.0

_STORES: Final[Mapping[str, str]] = {
    "MemoryStore": "in memory",
    "SqliteStore": "in a file",
    "RedisStore": "on Redis or Valkey",
}

CHARTS: Final = (
    Chart("Sessions", "count", [("sessions", "")], "All sessions in the store, with those that the index is made of."),
    Chart(
        "Requests", "rate", [("requests", "all"), ("refused", "refused")], "Requests of all clients that were answered."
    ),
    Chart(
        "Latency",
        "seconds",
        [("latency_median", "median"), ("latency_slow", "99 %")],
        "From reading a client's data to having answered it.",
    ),
    Chart(
        "Expiries",
        "rate",
        [("expired", "")],
        "Sessions that were found to have expired. A Redis ends them itself, and does not tell.",
    ),
    Chart(
        "Memory", "bytes", [("resident", "server"), ("store_bytes", "store")], "Memory of all processes of the server."
    ),
    Chart("Connections", "count", [("connections", "")], "Clients that are connected."),
)
"""The charts of the page."""


class SharedPage:
    """The parts of the page that the workers of a server share. Make this before forking them.

    Attributes:
        logins: see `SharedLogins`.
        figures: see `SharedFigures`.
        started: when the server started, by the clock of the machine's uptime.
    """

    def __init__(self, workers: int = 1) -> None:
        self.logins: SharedLogins = SharedLogins()
        self.figures: SharedFigures = SharedFigures(workers)
        self.started: float = time.monotonic()


class ServedPage:
    """Serves the page, and reads the figures of this worker.

    Args:
        context: the parts of the server.
        state: the state of this worker.
        shared: the parts that all workers share.
        tokens: returns the tokens that open the server now.
    """

    def __init__(
        self, context: ServerContext, state: WorkerState, shared: SharedPage, tokens: Callable[[], Tokens | None]
    ) -> None:
        self._context = context
        self._state = state
        self._shared = shared
        self._tokens = tokens
        workers = state.generations.workers
        self._own = shared.figures.of_worker(workers.index(state))
        self._history = History(context.traffic.batches.bounds)
        self._statistics: Statistics | None = None
        self._counted_at = self._count_again_at = 0.0
        self._counting: asyncio.Task[None] | None = None
        self._watched_at = float("-inf")
        self._attempts = AddressRateLimit(_LOGINS)
        self._log = LogLimit(_logger)
        view = SessionsView(EngineSource(context.engine), SessionIds(shared.logins.key))
        store = _STORES.get(type(context.engine.store).__name__, "elsewhere")
        about = {
            "title": "ndb-models",
            "version": __version__,
            "store": f"sessions {store}",
            "login": True,
            "every": EVERY,
            "charts": [chart._asdict() for chart in CHARTS],
        }
        self._page = StatusPage(view, self._figures, about, write=context.options.dashboard_write)

    @property
    def code(self) -> str:
        """The token that logs in while the server has no tokens."""
        return self._shared.logins.code

    # Figures

    async def run(self) -> None:
        """Read the figures every two seconds, until this is cancelled."""
        try:
            while True:
                # All workers at the same moments: whichever answers, the times of the points are the same.
                await asyncio.sleep(EVERY - time.time() % EVERY)
                self.read()
        finally:
            if self._counting is not None:
                self._counting.cancel()

    def read(self) -> None:
        """Read the figures now."""
        expired = self._context.engine.store.expired
        self._own.write(self._context.traffic, self._context.engine.answer_counts, expired or 0)
        total = self._shared.figures.total(self._state.generations.workers)
        now = time.monotonic()
        store = self._statistics if now - self._counted_at < _STALE else None
        gauges: dict[str, float | None] = {**total.gauges, "sessions": None, "store_bytes": None}
        counters: dict[str, float | None] = {**total.counters}
        if expired is None:
            counters["expired"] = None
        if store is not None:
            gauges |= {"sessions": store.sessions, "store_bytes": store.size}
        at = round(time.time() / EVERY) * EVERY
        self._history.add(Reading(at, gauges, counters, total.durations))
        if now - self._watched_at < _WATCHED:
            self._count_soon(now)

    def _count_soon(self, now: float) -> None:
        if self._counting is None and now >= self._count_again_at:
            self._counting = asyncio.get_running_loop().create_task(self._count())

    async def _count(self) -> None:
        started = time.monotonic()
        try:
            self._statistics = await self._context.engine.statistics()
            self._counted_at = time.monotonic()
        except StoreError as exc:
            self._log.warn("the store cannot be counted for the status page", reason=exc.reason)
        finally:
            took = time.monotonic() - started
            self._count_again_at = time.monotonic() + max(EVERY / 2, _COUNTING_PART * took)
            self._counting = None

    async def _figures(self, after: float) -> Mapping[str, Any]:
        now = time.monotonic()
        was_watched = now - self._watched_at < _WATCHED
        self._watched_at = now
        if not was_watched:
            self._count_soon(now)
        workers = self._state.generations.workers
        total = self._shared.figures.total(workers)
        return {
            **self._history.since(after),
            "facts": {
                "uptime": now - self._shared.started,
                "workers": sum(each.ready for each in workers) if len(workers) > 1 else None,
                "ofWorkers": len(workers),
                "received": total.counters["received"],
                "sent": total.counters["sent"],
                "requests": total.counters["requests"],
                "turnedAway": total.counters["turned_away"],
                "misses": total.counters["misses"],
                "keys": None if self._statistics is None else self._statistics.keys,
            },
        }

    # Requests

    async def respond(self, request: Request, address: str, *, ready: bool) -> Response:
        """Answer a request whose path is the page's, or below it.

        Args:
            request: the request.
            address: the client's address, as limits count by it.
            ready: True if the server is ready.
        """
        method: str = getattr(request, "method", "GET")
        path = request.path.partition("?")[0].removeprefix(PAGE)
        if not path:
            more = {"Location": f"{PAGE.removeprefix('/')}/"}
            answer = refusal(HTTPStatus.PERMANENT_REDIRECT, "The page is at dashboard/.", more)
        else:
            names = {name.lower() for name, _ in request.headers.raw_items()}
            headers = {name: ", ".join(request.headers.get_all(name)) for name in names}
            asked = PageRequest(method, path.removeprefix("/"), headers)
            answer = await self._answer(asked, address, ready=ready)
        return _response(answer, with_body=method != "HEAD")

    async def _answer(self, request: PageRequest, address: str, *, ready: bool) -> Answer:
        if not request.path.startswith(API):
            return file_answer(request)
        if not ready:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server is not ready.", {"Retry-After": "1"})
        try:
            require_same_origin(request)
        except CallRefusedError as exc:
            return refusal(exc.status, str(exc))
        if request.path == f"{API}login":
            return self._log_in(request, address)
        tokens = self._shared.logins.tokens_for(self._tokens())
        cookie = cookie_in(request.headers.get("cookie", ""))
        if not self._shared.logins.is_valid(cookie, tokens.admins, time.time()):
            return refusal(HTTPStatus.UNAUTHORIZED, "Log in with an admin's token.")
        if request.path == f"{API}logout":
            return self._log_out(request, cookie)
        return await self._page.answer(request, f"an admin at {address}")

    def _log_in(self, request: PageRequest, address: str) -> Answer:
        if request.method != "POST":
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "This call is a POST.", {"Allow": "POST"})
        if not self._attempts.take(address):
            message = "There were too many attempts from this address. Wait some seconds."
            return refusal(HTTPStatus.TOO_MANY_REQUESTS, message, {"Retry-After": "5"})
        tokens = self._shared.logins.tokens_for(self._tokens())
        grant = tokens.grant_of(request.headers.get("authorization", ""))
        if grant is None or grant.role is not Role.ADMIN or grant.digest is None:
            self._log.warn("a login to the status page was refused", peer=address)
            if grant is None:
                return refusal(HTTPStatus.UNAUTHORIZED, "This is no token of this server.")
            return refusal(HTTPStatus.FORBIDDEN, "This token is for data. The page is for admins.")
        _logger.warning("an admin at %s has logged in to the status page", address)
        content = self._shared.logins.log_in(grant.digest, time.time())
        return json_answer({"ok": True}, {"Set-Cookie": set_cookie(content, secure=_is_secure(request))})

    def _log_out(self, request: PageRequest, cookie: str) -> Answer:
        if request.method != "POST":
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "This call is a POST.", {"Allow": "POST"})
        self._shared.logins.log_out(cookie)
        return json_answer({"ok": True}, {"Set-Cookie": set_cookie(None, secure=_is_secure(request))})


def _is_secure(request: PageRequest) -> bool:
    """Tell whether the browser loaded the page over TLS, which a proxy may have ended. The browser says so itself."""
    return request.headers.get("origin", "").startswith("https://")


def _response(answer: Answer, *, with_body: bool) -> Response:
    headers = {
        "Date": formatdate(usegmt=True),
        "Connection": "close",
        "Content-Length": str(len(answer.body)),
        **answer.headers,
    }
    body = answer.body if with_body else b""
    return Response(answer.status.value, answer.status.phrase, Headers(headers), body)
