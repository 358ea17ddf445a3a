"""The status page over HTTP, without I/O: requests in, answers out. The server or the application admits people first.

The page's own files hold no data. Every other request is a call: `api/NAME`, with its arguments as JSON in the header
`NDB-Dashboard`, percent-encoded. Arguments may be personal data: in a header, they stay out of addresses, and so out of
logs and histories. A page of another site cannot make a call, because browsers do not let it send this header.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from ndb_models.dashboard.files import FILES, SECURITY_HEADERS
from ndb_models.dashboard.refusals import CallRefusedError
from ndb_models.dashboard.sessions_view import LoggedSession, SessionsView
from ndb_models.errors import NdbError, ResponseError, StoreError, UnavailableError, UnsupportedError

_logger = logging.getLogger("ndb_models.dashboard")

ARGUMENTS: Final = "NDB-Dashboard"
"""The header with the arguments of a call."""

API: Final = "api/"

_LONGEST_ARGUMENTS: Final = 4096
_LONGEST_NAME: Final = 200
_LONGEST_VALUE: Final = 1000

_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request for the page.

    Args:
        method: the HTTP method.
        path: the path below the page's own, without a slash at its start.
        headers: the headers, by names in small letters. One that came several times is joined by commas.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class _Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call without arguments."""


class _Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: float = 0.0


class _Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    field: str | None = None
    value: str = ""
    after: str | None = None


class _Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str


class _Call(NamedTuple):
    method: str
    arguments: type[msgspec.Struct]
    carry_out: Callable[[Any, str], Awaitable[Mapping[str, Any]]]


class StatusPage:
    """Answers the requests of admins.

    Args:
        view: the sessions.
        figures: returns the figures since a time, in seconds since 1970.
        about: facts about the server or the application, for the heading of the page.
        write: True if sessions may be ended.
    """

    def __init__(
        self,
        view: SessionsView,
        figures: Callable[[float], Awaitable[Mapping[str, Any]]],
        about: Mapping[str, Any],
        *,
        write: bool,
    ) -> None:
        self._view = view
        self._figures = figures
        self._about = {**about, "write": write}
        self._write = write
        self._calls: Mapping[str, _Call] = {
            "about": _Call("GET", _Nothing, self._tell_about),
            "figures": _Call("GET", _Since, self._tell_figures),
            "schemas": _Call("GET", _Nothing, self._tell_schemas),
            "sessions": _Call("GET", _Listed, self._list),
            "session": _Call("GET", _Named, self._show),
            "reveal": _Call("POST", _Named, self._reveal),
            "end": _Call("POST", _Named, self._end),
        }

    async def answer(self, request: PageRequest, who: str) -> Answer:
        """Answer a request of an admin. `who` names the person in the log."""
        if not request.path.startswith(API):
            return file_answer(request)
        call = self._calls.get(request.path.removeprefix(API))
        if call is None:
            return refusal(HTTPStatus.NOT_FOUND, "There is no such call.")
        if request.method != call.method:
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"This call is a {call.method}.", {"Allow": call.method})
        try:
            require_same_origin(request)
            return json_answer(await call.carry_out(_arguments(request, call.arguments), who))
        except CallRefusedError as exc:
            return refusal(exc.status, str(exc))
        except NdbError as exc:
            return _failed(exc)

    async def _tell_about(self, _: _Nothing, who: str) -> Mapping[str, Any]:
        return {**self._about, "who": who}

    async def _tell_figures(self, since: _Since, _: str) -> Mapping[str, Any]:
        return await self._figures(since.after)

    async def _tell_schemas(self, _: _Nothing, __: str) -> Mapping[str, Any]:
        return await self._view.schemas()

    async def _list(self, listed: _Listed, _: str) -> Mapping[str, Any]:
        if listed.field is None:
            return await self._view.listed(listed.schema, listed.after)
        name, value = listed.field.strip(), listed.value.strip()
        if not 0 < len(name) <= _LONGEST_NAME or not 0 < len(value) <= _LONGEST_VALUE:
            raise CallRefusedError(HTTPStatus.BAD_REQUEST, "Give a field and a value to look for.")
        return await self._view.found(listed.schema, name, value)

    async def _show(self, named: _Named, _: str) -> Mapping[str, Any]:
        document, _session = await self._view.session(named.id, reveal=False)
        return document

    async def _reveal(self, named: _Named, who: str) -> Mapping[str, Any]:
        document, session = await self._view.session(named.id, reveal=True)
        _log("%s was shown the values of the session %s of %s", who, session)
        return document

    async def _end(self, named: _Named, who: str) -> Mapping[str, Any]:
        if not self._write:
            raise CallRefusedError(HTTPStatus.FORBIDDEN, "This page only shows. It was started without writing.")
        _log("%s has ended the session %s of %s", who, await self._view.end(named.id))
        return {"ended": True}


def file_answer(request: PageRequest) -> Answer:
    """Answer a request for one of the page's own files, which anyone may read: 404 for any other path."""
    file = FILES.get(request.path)
    if file is None:
        return refusal(HTTPStatus.NOT_FOUND, "There is no such page.")
    if request.method not in ("GET", "HEAD"):
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD.", {"Allow": "GET, HEAD"})
    return Answer(HTTPStatus.OK, {**SECURITY_HEADERS, "Content-Type": file.kind}, file.content)


def json_answer(document: Mapping[str, Any], more: Mapping[str, str] | None = None) -> Answer:
    """Return a document as an answer. All letters beyond ASCII are escaped, lone surrogates too."""
    headers = {**SECURITY_HEADERS, "Content-Type": _JSON, **(more or {})}
    return Answer(HTTPStatus.OK, headers, json.dumps(document).encode())


def refusal(status: HTTPStatus, message: str, more: Mapping[str, str] | None = None) -> Answer:
    """Return a refusal, with a message for the person at the page."""
    headers = {**SECURITY_HEADERS, "Content-Type": _JSON, **(more or {})}
    return Answer(status, headers, json.dumps({"message": message}).encode())


def require_same_origin(request: PageRequest) -> None:
    """Refuse a call that a page of another origin makes.

    Raises:
        CallRefusedError: the browser says that the call comes from elsewhere.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        is_own = site == "same-origin"
    else:
        is_own = origin is None or origin.partition("://")[2].lower() == request.headers.get("host", "").lower()
    if not is_own:
        raise CallRefusedError(HTTPStatus.FORBIDDEN, "This call comes from a page of another site.")


def _arguments(request: PageRequest, kind: type[msgspec.Struct]) -> msgspec.Struct:
    given = request.headers.get(ARGUMENTS.lower())
    if given is None or len(given) > _LONGEST_ARGUMENTS:
        raise CallRefusedError(HTTPStatus.BAD_REQUEST, f"The header {ARGUMENTS} is missing or too long.")
    try:
        return msgspec.json.decode(unquote_to_bytes(given), type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise CallRefusedError(HTTPStatus.BAD_REQUEST, f"The header {ARGUMENTS} holds wrong arguments.") from None


def _failed(exc: NdbError) -> Answer:
    """Answer a call that the store could not carry out. The details are for the log."""
    if isinstance(exc, UnsupportedError):
        message = "The server is a NemesisDB, which can neither list sessions nor read them without extending them."
        return refusal(HTTPStatus.NOT_IMPLEMENTED, message)
    if isinstance(exc, ResponseError) and not isinstance(exc, UnavailableError):
        _logger.error("the status page cannot read the store: %s", exc)
        return refusal(HTTPStatus.BAD_GATEWAY, "The store refuses: the log says why. A list needs an admin's token.")
    if not isinstance(exc, UnavailableError):
        raise exc
    _logger.warning("the status page cannot reach the store: %s", exc)
    reason = exc.reason if isinstance(exc, StoreError) else "it gives no answer"
    return refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"The store cannot be used now: {reason}.", {"Retry-After": "2"})


def _log(event: str, who: str, session: LoggedSession) -> None:
    # A warning, so that it is logged at the default level.
    _logger.warning(event, who, session.token, repr(session.schema))
