"""One request and its answer: the visit of a session, from the first touch to the headers of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from starlette.types import Message, Scope, Send

from ndb_models.errors import SessionGoneError, UnavailableError
from ndb_models.schema import SessionModel
from ndb_models.web.answers import with_cookie_headers
from ndb_models.web.cookies import shown_cookie
from ndb_models.web.errors import AnswerBegunError, ChangedTooLateError
from ndb_models.web.http_errors import RETRY_AFTER
from ndb_models.web.sessions import RunningVisit
from ndb_models.web.visit import CookieChange

if TYPE_CHECKING:
    from ndb_models.web.starlette import WebSessions

M = TypeVar("M", bound=SessionModel)


class Exchange(Generic[M]):
    """One request and its answer."""

    __slots__ = ("_has_begun", "_scope", "_send", "_sessions", "failure", "is_answered", "visit")

    def __init__(self, sessions: WebSessions[M], scope: Scope, send: Send) -> None:
        self._sessions = sessions
        self._scope = scope
        self._send = send
        self._has_begun = False
        self.visit: RunningVisit[M] | None = None
        self.failure: BaseException | None = None
        """What failed as the visit was concluded."""
        self.is_answered: bool = False
        """True if the request was answered here, in place of the application."""

    def touched(self) -> RunningVisit[M]:
        """Return the visit of the request, for a use of its session."""
        if self.visit is None:
            sessions = self._sessions
            shown = shown_cookie(self._scope["headers"], sessions.cookie_name)
            self.visit = RunningVisit(shown, sessions.rules)
        return self.visit

    def before_answer(self, what: str) -> RunningVisit[M]:
        """Return the visit, for a use that sets a cookie."""
        if self._has_begun:
            raise AnswerBegunError(self._sessions.model.__name__, what)
        return self.touched()

    async def send(self, message: Message) -> None:
        """Send a message of the application. The visit is concluded before the first one."""
        if self._has_begun:
            if self.failure is not None:
                raise self.failure
            await self._send(message)
            return
        kind = message["type"]
        if kind in _BEGINNINGS:
            self._has_begun = True
            visit = self.visit
            if visit is not None:
                await self._conclude(visit, message.get("status", _BEGINNINGS[kind]))
                if kind != "websocket.close":
                    message = {**message, "headers": self._with_headers(visit, message.get("headers", ()))}
        await self._send(message)

    async def _conclude(self, visit: RunningVisit[M], status: int) -> None:
        try:
            await self._sessions.conclude(visit, succeeded=self._sessions.save_if(status))
        except BaseException as exc:
            self.failure = exc
            if isinstance(exc, UnavailableError):
                await self._answer(visit, 503, b"Try again later", (b"retry-after", b"%d" % RETRY_AFTER))
            elif isinstance(exc, SessionGoneError):
                await self._answer(visit, 401, b"Not logged in")
            elif visit.credential is not None and isinstance(exc, Exception):
                await self._answer(visit, 500, b"Internal Server Error")
                self.is_answered = False  # it is answered, and the error goes up all the same
            raise

    async def _answer(self, visit: RunningVisit[M], status: int, text: bytes, *more: tuple[bytes, bytes]) -> None:
        self.is_answered = True
        if self._scope["type"] == "websocket":
            await self._send({"type": "websocket.close", "code": 1013 if status == 503 else 4401})
            return
        plain = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text)))
        headers = self._with_headers(visit, [*plain, *more])
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if self._scope["method"] == "HEAD" else text
        await self._send({"type": "http.response.body", "body": body})

    def _with_headers(self, visit: RunningVisit[M], headers: Any) -> list[tuple[bytes, bytes]]:
        return with_cookie_headers(headers, self._set_cookie(visit), is_private=visit.is_shown)

    def _set_cookie(self, visit: RunningVisit[M]) -> bytes | None:
        change = visit.cookie
        if change is CookieChange.NONE:
            return None
        cookie = self._sessions.cookie
        if cookie.secure and self._scope["scheme"] in ("http", "ws"):
            self._sessions.warn_of_plain_http()
        if change is CookieChange.CLEAR:
            return cookie.clearing_header
        return cookie.header(str(visit.credential), visit.max_age)

    async def fail(self) -> None:
        """End what the request began, unless the visit was concluded."""
        if self.visit is not None and not self._has_begun:
            self._has_begun = True
            await self._sessions.conclude(self.visit, succeeded=False)

    async def end(self) -> None:
        """Refuse changes that came too late to be stored.

        Raises:
            ChangedTooLateError: there are some.
        """
        visit = self.visit
        if visit is None:
            return
        if not self._has_begun:
            await self.fail()
            return
        changed = self._sessions.changed_since(visit)
        if changed:
            session = visit.session
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
