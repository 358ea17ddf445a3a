"""Keeps forged requests from an ASGI application. `csrf` judges them; here the headers and the body are read."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from ndb_models.credentials import Credential
from ndb_models.types import SessionToken
from ndb_models.web.adopting import StarletteCookie
from ndb_models.web.cookies import shown_cookie
from ndb_models.web.csrf import (
    SAFE_METHODS,
    TOKEN_FIELD,
    TOKEN_HEADER,
    CsrfCheck,
    CsrfVerdict,
    RequestHead,
    is_csrf_token_of,
    reason_of_refusal,
)
from ndb_models.web.form_field import search_of

_NAMES: Final = {
    b"host": "host",
    b"origin": "origin",
    b"sec-fetch-site": "fetch_site",
    b"content-type": "content_type",
    TOKEN_HEADER.encode(): "token",
}

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

    async def admitted(self, scope: Scope, receive: Receive) -> Receive | None:
        """Return the callable by which the application receives the body, or None if the request is refused.

        If the body was searched for a token, the part that was read comes again, and then the rest.
        """
        if self.check.mode is False or scope.get("method") in SAFE_METHODS:  # before any work: most requests are such
            return receive
        head, others = _read(scope)
        verdict = self.check.verdict(head)
        if verdict is CsrfVerdict.ALLOWED:
            return receive
        shown = shown_cookie(scope["headers"], self._cookie_name)
        is_old_shown = self._old is not None and self._old.is_in(scope["headers"])
        if not (shown.is_shown or is_old_shown):
            return receive
        if verdict is CsrfVerdict.REFUSED:
            _log(scope, reason_of_refusal(head))
            return None
        credential = Credential.parse(shown.text)
        if credential is None and not is_old_shown:
            return receive  # the cookie opens nothing
        if credential is not None:
            if is_csrf_token_of(credential.tkn, others.get("token")):
                return receive
            replay = await _with_token_in_form(credential.tkn, others.get("content_type", ""), receive)
            if replay is not None:
                return replay
        _log(scope, _NO_TOKEN)
        return None

    def reason_to_refuse(self, scope: Scope) -> str | None:
        """Return why this request may not begin a session, or None if it may: other sites may not log a browser in."""
        head, _ = _read(scope)
        return reason_of_refusal(head) if self.check.verdict(head) is CsrfVerdict.REFUSED else None


async def refuse(scope: Scope, send: Send) -> None:
    """Answer a refused request: 403."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the server answers 403
        return
    plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_REFUSAL))]
    await send({"type": "http.response.start", "status": 403, "headers": plain})
    await send({"type": "http.response.body", "body": _REFUSAL})


def _read(scope: Scope) -> tuple[RequestHead, dict[str, str]]:
    """Return the head of a request, and the other headers that are needed here."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        known = _NAMES.get(name)
        if known is not None:
            text = value.decode("latin-1")
            found[known] = f"{found[known]}, {text}" if known in found else text
    head = RequestHead(
        scope["method"] if scope["type"] == "http" else None,
        scope["scheme"],
        found.get("host"),
        found.get("origin"),
        found.get("fetch_site"),
    )
    return head, found


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
