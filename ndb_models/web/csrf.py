"""Defence against requests that other sites have a browser make (CSRF). No I/O.

A browser sends our cookie along with requests that pages of other sites make. So a request that may change data and
carries the cookie is judged by its headers:

- `Sec-Fetch-Site: same-origin`, or `none` for an act of the user: it passes.
- Otherwise `Origin` is the request's own origin, or a trusted one: it passes.
- Neither header: no current browser sent it. It passes, or needs a token, as the program chooses.
- All other requests are refused.

A token proves that a form comes from a page that was made for this session. Each token is different, so a compressed
page does not betray it piece by piece (BREACH).
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Iterable
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

from ndb_models.errors import InvalidArgumentError
from ndb_models.types import SessionToken
from ndb_models.web.origins import normal_origin, origin_of_request, trusted

CsrfMode: TypeAlias = bool | Literal["token"]
"""True checks where requests come from. "token" also asks for a token if a request does not say. False is no check."""

TOKEN_HEADER: Final = "x-csrf-token"
TOKEN_FIELD: Final = "csrf_token"

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""HTTP methods that only read (RFC 9110)."""

_OWN_SITES: Final = frozenset({"same-origin", "none"})


class RequestHead(NamedTuple):
    """The head of a request, as far as it tells where the request comes from.

    Attributes:
        method: the HTTP method; None for a WebSocket's handshake.
        scheme: `http`, `https`, `ws` or `wss`, as the server tells it. Whether headers of a proxy count is the server's
            decision.
        host: the `Host` header, or None. If a header comes several times, its values are joined by commas; such a
            header fits no origin.
        origin: the `Origin` header, likewise.
        fetch_site: the `Sec-Fetch-Site` header, likewise.
    """

    method: str | None
    scheme: str
    host: str | None
    origin: str | None
    fetch_site: str | None


class CsrfVerdict(Enum):
    """The decision on a request."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    NEEDS_TOKEN = "needs a token"


# Looking a member up in its enum takes several times as long.
ALLOWED: Final = CsrfVerdict.ALLOWED
REFUSED: Final = CsrfVerdict.REFUSED
NEEDS_TOKEN: Final = CsrfVerdict.NEEDS_TOKEN


class CsrfCheck:
    """Judges requests by where they come from.

    Args:
        mode: see `CsrfMode`.
        trusted_origins: other origins. Their pages may make requests.

    Raises:
        InvalidArgumentError: the mode is unknown, or an origin is malformed.
    """

    def __init__(self, mode: CsrfMode = True, trusted_origins: Iterable[str] = ()) -> None:
        if mode not in (True, False, "token"):
            raise InvalidArgumentError('csrf= is True, False or "token"')
        self.mode: CsrfMode = mode
        self.trusted_origins: frozenset[str] = trusted(trusted_origins)

    def passes(self, method: str | None, fetch_site: str | None = None) -> bool:
        """Return True if a request is allowed by its method and its `Sec-Fetch-Site` alone; see `RequestHead`."""
        if self.mode is False or method in SAFE_METHODS or fetch_site in _OWN_SITES:
            return True
        return method is not None and method.upper() in SAFE_METHODS

    def verdict(self, head: RequestHead) -> CsrfVerdict:
        """Judge a request that carries a cookie of ours, or is about to get one."""
        if self.passes(head.method, head.fetch_site):
            return ALLOWED
        if head.origin is None or head.origin == "null":
            says_nothing = head.fetch_site is None
            if says_nothing and self.mode == "token":
                return NEEDS_TOKEN
            return ALLOWED if says_nothing and head.origin is None else REFUSED
        origin = normal_origin(head.origin)
        is_known = origin is not None and (origin in self.trusted_origins or origin == _own(head))
        return ALLOWED if is_known else REFUSED


def _own(head: RequestHead) -> str | None:
    return origin_of_request(head.scheme, head.host)


def reason_of_refusal(head: RequestHead) -> str:
    """Return why a request was refused, and how to allow such requests, for the log."""
    if head.origin is None:
        return f"the browser says Sec-Fetch-Site: {_shown(head.fetch_site)}, and names no origin"
    own = _own(head)
    came = f"it comes from the origin {_shown(head.origin)}, and was sent to {_shown(own)}"
    origin = normal_origin(head.origin)
    if origin is not None and own is not None and _host(origin) == _host(own):
        return f"{came}; if a proxy ends TLS, let the server take its word for the scheme (uvicorn --proxy-headers)"
    return f"{came}; if pages of that origin may make requests, name it in trusted_origins="


def _host(normal: str) -> str:
    return normal.partition("://")[2].rpartition(":")[0]


def _shown(header: str | None) -> str:
    return repr(header if header is None else header[:200])


_NONCE_BYTES: Final = 16
_MAC_BYTES: Final = 32
_TOKEN_CHARACTERS: Final = 64
_KEY: Final = b"ndb_models: csrf token of session "


def draw_csrf_token(tkn: SessionToken) -> str:
    """Return a CSRF token of a session: 64 URL-safe characters, different each time.

    It holds as long as the session, renewals included. It opens no session: it is not made of the secret.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + _mac(tkn, nonce)).decode()


def is_csrf_token_of(tkn: SessionToken, text: str | None) -> bool:
    """Tell whether a text is a CSRF token of a session. Takes a browser's input unchecked; never raises."""
    if text is None or len(text) != _TOKEN_CHARACTERS or not text.isascii():
        return False
    try:
        decoded = base64.urlsafe_b64decode(text)
    except ValueError:
        return False
    nonce, mac = decoded[:_NONCE_BYTES], decoded[_NONCE_BYTES:]
    return len(mac) == _MAC_BYTES and hmac.compare_digest(mac, _mac(tkn, nonce))


def _mac(tkn: SessionToken, nonce: bytes) -> bytes:
    return hmac.digest(_KEY + tkn.to_bytes(8), nonce, "sha256")
