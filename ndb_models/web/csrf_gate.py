"""Keeps forged requests from an ASGI application. `csrf` judges them; here the headers and the body are read."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from ndb_models.credentials import Credential
from ndb_models.types import SessionToken
from ndb_models.web.adopting import StarletteCookie
from ndb_models.web.cookies import shown_cookie
from ndb_models.web.csrf import (
    ALLOWED,
    NEEDS_TOKEN,
    REFUSED,
    TOKEN_FIELD,
    TOKEN_HEADER,
    CsrfCheck,
    CsrfVerdict,
    RequestHead,
    is_csrf_token_of,
    reason_of_refusal,
)
from ndb_models.web.form_field import search_of
from ndb_models.web.request_headers import headers_by_name

_TOKEN_HEADER: Final = TOKEN_HEADER.encode()

_REFUSAL: Final = b"Refused: this request does not come from a page of this site"
_NO_TOKEN: Final = (
    "neither Sec-Fetch-Site nor Origin says where it comes from, and it has no CSRF token of its session: put"
    f" csrf_token() in the header {TOKEN_HEADER}, or in the form field {TOKEN_FIELD}, among the first of the form"
)

_logger = logging.getLogger("ndb_models.web")


class CsrfGate:
    """Lets requests in, or refuses them.

    Args:
        check: the rules.
        cookie_name: the name of the cookie of sessions. Requests without it are let in.
        old: the cookies of another middleware that are carried over, or None; they count too.
    """

    def __init__(self, check: CsrfCheck, cookie_name: bytes, old: StarletteCookie | None) -> None:
        self.check: CsrfCheck = check
        self._cookie_name = cookie_name
        self._old = old

    def verdict(self, scope: Scope) -> CsrfVerdict:
        """Judge a request by where it comes from, and by the cookies that it shows."""
        check, method = self.check, scope.get("method")
        if check.passes(method):  # before any work: most requests are such
            return ALLOWED
        headers = headers_by_name(scope["headers"])
        if check.passes(method, _text(headers.get(b"sec-fetch-site"))):
            return ALLOWED
        verdict = check.verdict(_head(scope, headers))
        if verdict is ALLOWED:
            return ALLOWED
        shown = shown_cookie(scope["headers"], self._cookie_name)
        if self._old is not None and self._old.is_in(scope["headers"]):
            return verdict
        opens_nothing = not shown.is_shown or (verdict is NEEDS_TOKEN and Credential.parse(shown.text) is None)
        return ALLOWED if opens_nothing else verdict

    async def admitted(self, verdict: CsrfVerdict, scope: Scope, receive: Receive) -> Receive | None:
        """Return the callable by which the application receives the body, or None if the request is refused.

        If the body was searched for a token, the part that was read comes again, and then the rest.

        Args:
            verdict: the one on the request.
            scope: the scope of the request.
            receive: ASGI's `receive`.
        """
        if verdict is ALLOWED:
            return receive
        headers = headers_by_name(scope["headers"])
        if verdict is REFUSED:
            _log(scope, reason_of_refusal(_head(scope, headers)))
            return None
        credential = Credential.parse(shown_cookie(scope["headers"], self._cookie_name).text)
        if credential is not None:
            if is_csrf_token_of(credential.tkn, _text(headers.get(_TOKEN_HEADER))):
                return receive
            replay = await _with_token_in_form(credential.tkn, _text(headers.get(b"content-type")) or "", receive)
            if replay is not None:
                return replay
        _log(scope, _NO_TOKEN)
        return None

    def reason_to_refuse(self, scope: Scope) -> str | None:
        """Return why this request may not begin a session, or None if it may: other sites may not log a browser in."""
        head = _head(scope, headers_by_name(scope["headers"]))
        return reason_of_refusal(head) if self.check.verdict(head) is REFUSED else None


async def refuse(scope: Scope, send: Send) -> None:
    """Answer a refused request: 403."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the server answers 403
        return
    plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_REFUSAL))]
    await send({"type": "http.response.start", "status": 403, "headers": plain})
    await send({"type": "http.response.body", "body": _REFUSAL})


def _head(scope: Scope, headers: Mapping[bytes, bytes]) -> RequestHead:
    """Return the head of a request, given its scope and its headers by their names."""
    return RequestHead(
        scope["method"] if scope["type"] == "http" else None,
        scope["scheme"],
        _text(headers.get(b"host")),
        _text(headers.get(b"origin")),
        _text(headers.get(b"sec-fetch-site")),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _log(scope: Scope, reason: str) -> None:
    kind = "WebSocket" if scope["type"] == "websocket" else scope["method"]
    _logger.warning("refused a %s to %.200r: %s", kind, scope["path"], reason)


async def _with_token_in_form(tkn: SessionToken, content_type: str, receive: Receive) -> Receive | None:
    """Return the callable to receive the body by, or None if it is no form with a CSRF token in its beginning."""
    search = search_of(content_type, TOKEN_FIELD)
    messages: deque[Message] = deque()
    while search is not None and not search.is_over:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":  # the client is gone
            return None
        text = search.feed(message.get("body", b""), is_last=not message.get("more_body", False))
        if is_csrf_token_of(tkn, text):
            return _Replay(messages, receive)
        if text is not None:
            return None
    return None


class _Replay:
    """Gives the messages that were read already, then the others."""

    def __init__(self, messages: deque[Message], receive: Receive) -> None:
        self._messages = messages
        self._receive = receive

    async def __call__(self) -> Message:
        return self._messages.popleft() if self._messages else await self._receive()
