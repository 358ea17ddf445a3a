"""One request and its answer: the visit of a session, from the first touch to the headers of the answer."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from starlette.types import Message, Receive, Scope, Send

from ndb_models.errors import SessionGoneError, UnavailableError
from ndb_models.schema import SessionModel
from ndb_models.web.answers import with_cookie_headers
from ndb_models.web.cookies import shown_cookie
from ndb_models.web.csrf import SAFE_METHODS, CsrfVerdict
from ndb_models.web.csrf_gate import refuse
from ndb_models.web.dict_view import SessionView
from ndb_models.web.errors import AnswerBegunError, ChangedTooLateError
from ndb_models.web.hosts import is_loopback
from ndb_models.web.http_errors import RETRY_AFTER, CrossSiteError
from ndb_models.web.incoming import Incoming
from ndb_models.web.running_visit import RunningVisit
from ndb_models.web.viewed_class import ViewedClass
from ndb_models.web.visit import LEAVE, CookieChange

if TYPE_CHECKING:
    from ndb_models.web.starlette import WebSessions

M = TypeVar("M", bound=SessionModel)

SCOPE_KEY: Final = "ndb_models.web"
"""Under this key, the scope of a request has its exchanges, by their `WebSessions`."""

_ONLY_LOCAL: Final = b"WebSessions(development=True) serves localhost alone; leave it out to serve other hosts"


class Exchange(Generic[M]):
    """One request and its answer."""

    # Defaults of the class: a request sets few of them.
    has_begun: bool = False
    """True once the answer has begun, or the visit was concluded without one."""
    is_answered: bool = False
    """True if the request was answered here, in place of the application."""
    failure: BaseException | None = None
    """The error of concluding the visit."""
    visit: RunningVisit[M] | None = None
    """The visit of the request, once the application has touched its session."""
    _incoming: Incoming | None = None
    _is_streaming = False
    _prepared: RunningVisit[M] | None = None
    _view: SessionView[M] | None = None

    def __init__(self, sessions: WebSessions[M], scope: Scope, send: Send) -> None:
        self._sessions = sessions
        self._scope = scope
        self._send = send

    async def admitted(self, verdict: CsrfVerdict, receive: Receive) -> Receive | None:
        """Return the `receive` of the application; None if the request is refused, and was answered.

        Args:
            verdict: the one of the check against forged requests.
            receive: ASGI's `receive`.
        """
        sessions, scope = self._sessions, self._scope
        if sessions.development:
            sessions.notices.announce()
            if not self._is_local:
                await self._refuse_host()
                return None
        admitted = await sessions.csrf.admitted(verdict, scope, receive)
        if admitted is None:
            await refuse(scope, self.send)
            return None
        if sessions.viewed is not None and not await self._show_session(sessions.viewed):
            return None
        if scope["type"] == "websocket":
            self._incoming = Incoming(admitted)
            return self._incoming.receive
        return admitted

    def client_left(self) -> Awaitable[None]:
        """Wait until the client of a WebSocket has left; see `Incoming.left`."""
        assert self._incoming is not None
        return self._incoming.left()

    def stop_listening(self) -> None:
        """Read no further messages of a client."""
        if self._incoming is not None:
            self._incoming.close()

    @property
    def _is_local(self) -> bool:
        """True if the request is for this very machine, by its `Host` header."""
        hosts = [value for name, value in self._scope["headers"] if name == b"host"]
        return len(hosts) == 1 and is_loopback(hosts[0].decode("latin-1"))

    async def _refuse_host(self) -> None:
        """Answer a request for another host, in development."""
        if self._scope["type"] == "websocket":
            await self._send({"type": "websocket.close", "code": 1008})
            return
        await self._send_plain(400, _ONLY_LOCAL, [])

    async def _show_session(self, viewed: ViewedClass[M]) -> bool:
        """Give the request its `request.session`. Return False if the store is away, and the request is answered."""
        sessions, visit = self._sessions, self._prepare()
        self._scope["session"] = self._view = SessionView(viewed, visit)
        if sessions.may_have_session(visit):
            try:
                await sessions.open_visit(visit)
            except UnavailableError:
                self.has_begun = True
                await self._answer(visit, 503, b"Try again later", (b"retry-after", b"%d" % RETRY_AFTER))
                return False
        return True

    def _prepare(self) -> RunningVisit[M]:
        sessions, headers = self._sessions, self._scope["headers"]
        shown = shown_cookie(headers, sessions.cookie_name)
        prepared: RunningVisit[M] = RunningVisit(shown, sessions.rules)
        if not self.has_begun:  # afterwards no cookie can be set: an old one stays as it is
            prepared.headers = headers
        if sessions.client.prefers_looks:
            prepared.may_change = self._scope.get("method", "GET") not in SAFE_METHODS
        self._prepared = prepared
        return prepared

    def touched(self) -> RunningVisit[M]:
        """Return the visit of the request, for a use of its session."""
        visit = self.visit
        if visit is None:
            visit = self.visit = self._prepared or self._prepare()
        return visit

    def _used_by_view(self, view: SessionView[M]) -> RunningVisit[M] | None:
        """Return the visit if `request.session` was used by now, or if the browser has to get a cookie."""
        prepared = self._prepared
        is_used = view.accessed or (prepared is not None and prepared.adopted is not None)
        return self.touched() if is_used else None

    def before_answer(self, what: str) -> RunningVisit[M]:
        """Return the visit, for a use that sets a cookie."""
        if self.has_begun:
            raise AnswerBegunError(self._sessions.model.__name__, what)
        return self.touched()

    def send(self, message: Message) -> Awaitable[None]:
        """Send a message of the application. The visit is concluded before the first one."""
        kind = message["type"]
        if self.has_begun:
            if self.failure is not None:
                raise self.failure
            if kind == "http.response.body":
                if message.get("more_body"):
                    self._is_streaming = True
                elif self._is_streaming:  # its client is to notice that something failed
                    self.refuse_late_changes()
            return self._send(message)
        if kind not in _BEGINNINGS:
            return self._send(message)
        self.has_begun = True
        visit = self.visit
        if visit is None and self._view is not None:
            visit = self._used_by_view(self._view)
        return self._send(message) if visit is None else self._begin(visit, message)

    async def _begin(self, visit: RunningVisit[M], message: Message) -> None:
        """Conclude the visit, and send the first message of the answer."""
        kind, sessions = message["type"], self._sessions
        try:
            succeeded = sessions.save_if(message.get("status", _BEGINNINGS[kind]))
            if self._view is not None:
                await self._settle(self._view, visit, succeeded=succeeded)
            await sessions.conclude(visit, succeeded=succeeded)
        except BaseException as exc:
            self.failure = exc
            await self._answer_failure(visit, exc)
            raise
        if kind != "websocket.close":
            message = {**message, "headers": self._with_headers(visit, message.get("headers", ()))}
        try:
            await self._send(message)
        except BaseException as exc:
            await sessions.undo(visit, exc)
            raise

    async def _answer_failure(self, visit: RunningVisit[M], failure: BaseException) -> None:
        """Answer in place of the application, whose visit could not be concluded."""
        if isinstance(failure, UnavailableError):
            await self._answer(visit, 503, b"Try again later", (b"retry-after", b"%d" % RETRY_AFTER))
        elif isinstance(failure, SessionGoneError):
            await self._answer(visit, 401, b"Not logged in")
        elif isinstance(failure, CrossSiteError):
            await self._answer(visit, 403, failure.detail.encode())
        elif visit.credential is not None and isinstance(failure, Exception):
            await self._answer(visit, 500, b"Internal Server Error")
            self.is_answered = False  # it is answered, and the error goes up all the same

    async def _settle(self, view: SessionView[M], visit: RunningVisit[M], *, succeeded: bool) -> None:
        """Carry out the acts of the request on `request.session` that are more than changes of a model."""
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
        if self._view is None or self.has_begun or not self._view.pending:
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
        change = visit.cookie
        set_cookie = None if change is LEAVE else self._set_cookie(visit, change)
        if visit.removes_old and (removing := self._removing_header()) is not None:
            return [*with_cookie_headers(headers, set_cookie, is_private=True), (b"set-cookie", removing)]
        return with_cookie_headers(headers, set_cookie, is_private=visit.is_shown)

    def _removing_header(self) -> bytes | None:
        """Return the header that removes the cookie of another middleware, unless ours takes its place."""
        adoption = self._sessions.adoption
        if adoption is None or adoption.cookie.is_same_as(self._sessions.cookie):
            return None
        return adoption.cookie.removing_header

    def _set_cookie(self, visit: RunningVisit[M], change: CookieChange) -> bytes | None:
        """Return the header for a change of the cookie."""
        if change is CookieChange.CLEAR_IF_ALONE and not self._is_alone():
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
        if self.visit is not None and not self.has_begun:
            self.has_begun = True
            await self._sessions.undo(self.visit, cause)

    def refuse_late_changes(self) -> None:
        """Refuse changes that came too late to be stored.

        Raises:
            ChangedTooLateError: there are some.
        """
        visit = self.visit
        if visit is None and self._view is not None:
            visit = self._used_by_view(self._view)
        if visit is None:
            return
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
