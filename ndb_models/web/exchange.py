"""One request and its answer: the visit of a session, from the first touch to the headers of the answer."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from starlette.types import Message, Receive, Scope, Send

from ndb_models.errors import SessionGoneError, UnavailableError
from ndb_models.schema import SessionModel
from ndb_models.web.answers import with_cookie_headers
from ndb_models.web.cookies import shown_cookie
from ndb_models.web.dict_view import SessionView
from ndb_models.web.errors import AnswerBegunError, ChangedTooLateError
from ndb_models.web.hosts import is_loopback
from ndb_models.web.http_errors import RETRY_AFTER, CrossSiteError
from ndb_models.web.incoming import Incoming
from ndb_models.web.running_visit import RunningVisit
from ndb_models.web.viewed_class import REFUSED
from ndb_models.web.visit import CookieChange

if TYPE_CHECKING:
    from ndb_models.web.starlette import WebSessions

M = TypeVar("M", bound=SessionModel)

SCOPE_KEY: Final = "ndb_models.web"
"""Under this key, the scope of a request has its exchanges, by their `WebSessions`."""

_ONLY_LOCAL: Final = b"WebSessions(development=True) serves localhost alone; leave it out to serve other hosts"


class Exchange(Generic[M]):
    """One request and its answer."""

    __slots__ = (
        "_has_begun",
        "_incoming",
        "_is_streaming",
        "_prepared",
        "_scope",
        "_send",
        "_sessions",
        "_view",
        "failure",
        "is_answered",
        "visit",
    )

    def __init__(self, sessions: WebSessions[M], scope: Scope, send: Send) -> None:
        self._sessions = sessions
        self._scope = scope
        self._send = send
        self._has_begun = False
        self._incoming: Incoming | None = None
        self._is_streaming = False
        self._prepared: RunningVisit[M] | None = None
        self._view: SessionView[M] | None = None
        self.visit: RunningVisit[M] | None = None
        self.failure: BaseException | None = None
        """The error of concluding the visit."""
        self.is_answered: bool = False
        """True if the request was answered here, in place of the application."""

    def listen(self, receive: Receive) -> Receive:
        """Return what hands on the messages of a client. A WebSocket's tells if it has left."""
        if self._scope["type"] != "websocket":
            return receive
        self._incoming = Incoming(receive)
        return self._incoming.receive

    def client_left(self) -> Awaitable[None]:
        """Return what waits until the client of a WebSocket has left; see `Incoming.left`."""
        assert self._incoming is not None
        return self._incoming.left()

    def stop_listening(self) -> None:
        """Read no further messages of a client."""
        if self._incoming is not None:
            self._incoming.close()

    @property
    def is_local(self) -> bool:
        """True if the request is for this very machine, by its `Host` header."""
        hosts = [value for name, value in self._scope["headers"] if name == b"host"]
        return len(hosts) == 1 and is_loopback(hosts[0].decode("latin-1"))

    async def refuse_host(self) -> None:
        """Answer a request for another host, in development."""
        if self._scope["type"] == "websocket":
            await self._send({"type": "websocket.close", "code": 1008})
            return
        await self._send_plain(400, _ONLY_LOCAL, [])

    async def show_session(self) -> bool:
        """Give the request its `request.session`. Return False if the store is away, and the request is answered."""
        sessions, scope = self._sessions, self._scope
        if sessions.viewed is None:
            scope.setdefault("session", REFUSED)
            return True
        visit = self._prepare()
        scope["session"] = self._view = SessionView(sessions.viewed, visit)
        if sessions.may_have_session(visit):
            try:
                await sessions.open_visit(visit)
            except UnavailableError:
                self._has_begun = True
                await self._answer(visit, 503, b"Try again later", (b"retry-after", b"%d" % RETRY_AFTER))
                return False
        return True

    def _prepare(self) -> RunningVisit[M]:
        if self._prepared is None:
            sessions, headers = self._sessions, self._scope["headers"]
            shown = shown_cookie(headers, sessions.cookie_name)
            # Once the answer has begun, no cookie can be set: an old one stays as it is.
            self._prepared = RunningVisit(shown, sessions.rules, () if self._has_begun else headers)
        return self._prepared

    def touched(self) -> RunningVisit[M]:
        """Return the visit of the request, for a use of its session."""
        if self.visit is None:
            self.visit = self._prepare()
        return self.visit

    def _used(self) -> RunningVisit[M] | None:
        """Return the visit of the request if its session was used by now, or if the browser has to get a cookie."""
        view, prepared = self._view, self._prepared
        if view is not None and (view.accessed or (prepared is not None and prepared.adopted is not None)):
            return self.touched()
        return self.visit

    def before_answer(self, what: str) -> RunningVisit[M]:
        """Return the visit, for a use that sets a cookie."""
        if self._has_begun:
            raise AnswerBegunError(self._sessions.model.__name__, what)
        return self.touched()

    async def send(self, message: Message) -> None:
        """Send a message of the application. The visit is concluded before the first one."""
        kind = message["type"]
        if self._has_begun:
            if self.failure is not None:
                raise self.failure
            if kind == "http.response.body" and (visit := self._used()) is not None:
                self._refuse_changes_in_stream(visit, is_last=not message.get("more_body", False))
            await self._send(message)
            return
        if kind not in _BEGINNINGS:
            await self._send(message)
            return
        self._has_begun = True
        visit = self._used()
        if visit is None:
            await self._send(message)
            return
        await self._conclude(visit, message.get("status", _BEGINNINGS[kind]))
        if kind != "websocket.close":
            message = {**message, "headers": self._with_headers(visit, message.get("headers", ()))}
        try:
            await self._send(message)
        except BaseException as exc:
            await self._sessions.undo(visit, exc)
            raise

    def _refuse_changes_in_stream(self, visit: RunningVisit[M], *, is_last: bool) -> None:
        """Refuse late changes before the end of a stream, so that its client notices that something failed."""
        if not is_last:
            self._is_streaming = True
        elif self._is_streaming:
            self._refuse_late_changes(visit)

    async def _conclude(self, visit: RunningVisit[M], status: int) -> None:
        try:
            succeeded = self._sessions.save_if(status)
            if self._view is not None:
                await self._settle(self._view, visit, succeeded=succeeded)
            await self._sessions.conclude(visit, succeeded=succeeded)
        except BaseException as exc:
            self.failure = exc
            if isinstance(exc, UnavailableError):
                await self._answer(visit, 503, b"Try again later", (b"retry-after", b"%d" % RETRY_AFTER))
            elif isinstance(exc, SessionGoneError):
                await self._answer(visit, 401, b"Not logged in")
            elif isinstance(exc, CrossSiteError):
                await self._answer(visit, 403, exc.detail.encode())
            elif visit.credential is not None and isinstance(exc, Exception):
                await self._answer(visit, 500, b"Internal Server Error")
                self.is_answered = False  # it is answered, and the error goes up all the same
            raise

    async def _settle(self, view: SessionView[M], visit: RunningVisit[M], *, succeeded: bool) -> None:
        """Carry out what the request did to `request.session`, so far as it is more than changing a model."""
        if not succeeded:
            view.drop()
            return
        if view.is_emptied:
            await self._sessions.logout_visit(visit)
            return
        made = view.settled()
        if made is not None and not made.is_saved:
            self._sessions.refuse_cross_site(self._scope)
            await self._sessions.login_visit(visit, made, remember=False)

    async def session_of_draft(self) -> M | None:
        """Make a session now of the values that a visitor's request has put into `request.session`, if there are any.

        It is ended again if the request fails. Raises as `WebSessions.login`.
        """
        if self._view is None or self._has_begun or not self._view.pending:
            return None
        visit = self.touched()
        await self._settle(self._view, visit, succeeded=True)
        return visit.session

    async def _answer(self, visit: RunningVisit[M], status: int, text: bytes, *more: tuple[bytes, bytes]) -> None:
        self.is_answered = True
        if self._scope["type"] == "websocket":
            await self._send({"type": "websocket.close", "code": 1013 if status == 503 else 4401})
            return
        await self._send_plain(status, text, self._with_headers(visit, more))

    async def _send_plain(self, status: int, text: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text)), *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": plain})
        await self._send({"type": "http.response.body", "body": b"" if self._scope["method"] == "HEAD" else text})

    def _with_headers(self, visit: RunningVisit[M], headers: Any) -> list[tuple[bytes, bytes]]:
        removing = self._removing_header(visit)
        is_private = visit.is_shown or removing is not None
        result = with_cookie_headers(headers, self._set_cookie(visit), is_private=is_private)
        return result if removing is None else [*result, (b"set-cookie", removing)]

    def _removing_header(self, visit: RunningVisit[M]) -> bytes | None:
        """Return the header that removes the cookie of another middleware, if it is to go."""
        adoption = self._sessions.adoption
        if adoption is None or not visit.removes_old:
            return None
        is_ours = adoption.cookie.is_same_as(self._sessions.cookie)  # then ours takes its place
        return None if is_ours else adoption.cookie.removing_header

    def _set_cookie(self, visit: RunningVisit[M]) -> bytes | None:
        change = visit.cookie
        if change is CookieChange.NONE or (change is CookieChange.CLEAR_IF_ALONE and not self._is_alone()):
            return None
        cookie = self._sessions.cookie
        if cookie.secure and self._scope["scheme"] in ("http", "ws"):
            self._sessions.notices.warn_of_plain_http()
        if change is not CookieChange.SET:
            return cookie.clearing_header
        return cookie.header(str(visit.credential), visit.max_age)

    def _is_alone(self) -> bool:
        """Return False if the page that makes this request may make others at the same time, such as a login."""
        modes = [value for name, value in self._scope["headers"] if name == b"sec-fetch-mode"]
        return modes in ([], [b"navigate"])

    async def fail(self, cause: BaseException | None = None) -> None:
        """End the sessions that the request began, unless its visit was concluded. `cause` is its error."""
        if self.visit is not None and not self._has_begun:
            self._has_begun = True
            await self._sessions.undo(self.visit, cause)

    async def end(self) -> None:
        """Refuse changes that came too late to be stored.

        Raises:
            ChangedTooLateError: there are some.
        """
        visit = self._used()
        if visit is None:
            return
        if self._has_begun:
            self._refuse_late_changes(visit)
        else:
            await self.fail()

    def _refuse_late_changes(self, visit: RunningVisit[M]) -> None:
        changed = self._sessions.changed_since(visit)
        if self._view is not None:
            changed |= self._view.pending
        if changed:
            session = visit.session
            visit.unsaved = None
            raise ChangedTooLateError(self._sessions.model.__name__, None if session is None else session.tkn, changed)


# The messages that begin an answer, with the status where they have none.
_BEGINNINGS: Final = {
    "http.response.start": 200,
    "websocket.accept": 101,
    "websocket.close": 403,
    "websocket.http.response.start": 200,
}


def is_from(exc: BaseException, failure: BaseException | None) -> bool:
    """Return True if an exception is a failure, or was raised from it."""
    if failure is None:
        return False
    if isinstance(exc, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", exc)
        return all(is_from(each, failure) for each in group.exceptions)
    return exc is failure or (exc.__cause__ is not None and is_from(exc.__cause__, failure))
