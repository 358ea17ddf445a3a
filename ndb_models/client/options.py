"""The options of a connection to a server."""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypedDict, cast

from ndb_models.errors import InvalidArgumentError


class OptionArguments(TypedDict, total=False):
    """The keyword arguments for a client's connection; see `Options`."""

    open_timeout: float
    request_timeout: float
    attempt_timeout: float
    connect_wait: float
    max_payload: int
    max_in_flight: int
    reconnect: bool
    keepalive: float | None
    ssl: ssl.SSLContext | None
    token: str | None
    headers: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a WebSocket connection to a server. Times in seconds, sizes in bytes.

    Args:
        open_timeout: for a connection and its handshake, and for the server's consent to closing.
        request_timeout: for a request, from the call to the answer, including reconnecting and repeating.
        attempt_timeout: without an answer, before a connection counts as frozen. Requests that are safe to repeat then
            go over a new connection. Commands that have taken longer before get more time. Saving and loading data sets
            have no limit.
        connect_wait: that requests wait for the end of an outage, counted from its beginning. Later requests fail at
            once.
        max_payload: the largest frame that the server takes. A NemesisDB takes 1,024 in its default configuration, and
            at most 8,192; it cuts the connection at a larger frame.
        max_in_flight: the most requests that may wait for answers at once. The number that a server can handle is
            learnt from the sizes of its answers, and is often less.
        reconnect: connect again when the connection is lost, and repeat requests that are safe to repeat.
        keepalive: between checks that the server is alive; None for no checks.
        ssl: the TLS context for `wss://`; None for the system's trusted certificates.
        token: the bearer token that the server asks for; None for no token. Never shown.
        headers: more headers for the handshake. Never shown.

    Raises:
        InvalidArgumentError: an option has a wrong type or value, or both `token` and an Authorization header are
            given.
    """

    open_timeout: float = 10.0
    request_timeout: float = 30.0
    attempt_timeout: float = 5.0
    connect_wait: float = 5.0
    max_payload: int = 1024 * 1024
    max_in_flight: int = 64
    reconnect: bool = True
    keepalive: float | None = 20.0
    ssl: ssl.SSLContext | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in (
            "open_timeout",
            "request_timeout",
            "attempt_timeout",
            "connect_wait",
            "max_payload",
            "max_in_flight",
        ):
            _check_number(name, getattr(self, name))
        if not isinstance(cast("object", self.reconnect), bool):
            raise InvalidArgumentError(f"reconnect is True or False, not a {type(self.reconnect).__name__}")
        if not isinstance(cast("object", self.headers), (Mapping, type(None))):
            raise InvalidArgumentError(f"headers is a mapping of names to values, not a {type(self.headers).__name__}")
        for name in ("max_payload", "max_in_flight"):
            if not isinstance(getattr(self, name), int):
                raise InvalidArgumentError(f"{name} is a whole number")
        if self.keepalive is not None:
            _check_number("keepalive", self.keepalive)
        given: object = self.ssl
        if given is not None and not isinstance(given, ssl.SSLContext):
            raise InvalidArgumentError(f"ssl is an ssl.SSLContext or None, not a {type(given).__name__}")
        headers = self.headers or {}
        for name, value in headers.items():
            _check_header(name, value)
        if self.token is not None:
            _check_token(self.token)
            if any(name.lower() == "authorization" for name in headers):
                raise InvalidArgumentError("give token or an Authorization header, not both")

    @property
    def handshake_headers(self) -> dict[str, str]:
        """The headers of the handshake, including the token if there is one."""
        return {**(self.headers or {}), **({} if self.token is None else {"Authorization": f"Bearer {self.token}"})}


# Beyond the largest float.
_NO_NUMBER: Final = 10**308


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgumentError(f"{name} is a number, not a {type(value).__name__}")
    if not 0 < value < _NO_NUMBER and value != math.inf:
        raise InvalidArgumentError(f"{name} must be greater than 0, and a number that a float can hold")


def _check_header(name: object, value: object) -> None:
    if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
        raise InvalidArgumentError("the name of a header is not valid (RFC 9110, section 5.1)")
    if not (isinstance(value, str) and value.isascii() and (value.isprintable() or not value)):
        raise InvalidArgumentError(
            f"headers[{name!r}] is not valid: a line break, or not ASCII? (RFC 9110, section 5.5)"
        )


def _check_token(token: object) -> None:
    if not (isinstance(token, str) and _TOKEN.fullmatch(token)):
        raise InvalidArgumentError("token is a str of letters, digits and -._~+/ (RFC 6750, section 2.1)")


_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
