"""How to talk to a server."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from ndb_models.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to talk to a server over a WebSocket. Times in seconds, sizes in bytes.

    Args:
        open_timeout: for a connection and its handshake, and for the other side to agree to closing it.
        request_timeout: for a request, from the call to the answer, reconnecting and repeating included.
        max_payload: the largest frame that the server takes. A NemesisDB takes 1,024 in its default configuration, and
            8,192 at the most; it cuts the connection beyond that.
        max_in_flight: the most requests that are sent before they are answered; what a server can keep up with is
            learnt from the sizes of its answers, and is often less.
        reconnect: connect again when the connection is lost, and repeat what is safe to repeat.
        keepalive: how often to ask whether the other side still lives; None for never.
        ssl: the TLS context for `wss://`; None for the system's trusted certificates.
        headers: more headers for the handshake, such as `Authorization`. Never shown.
    """

    open_timeout: float = 10.0
    request_timeout: float = 30.0
    max_payload: int = 1024 * 1024
    max_in_flight: int = 64
    reconnect: bool = True
    keepalive: float | None = 20.0
    ssl: ssl.SSLContext | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def __post_init__(self) -> None:
        for name in ("open_timeout", "request_timeout", "max_payload", "max_in_flight"):
            if not getattr(self, name) > 0:
                raise InvalidArgumentError(f"{name} must be greater than 0")
        if self.keepalive is not None and not self.keepalive > 0:
            raise InvalidArgumentError("keepalive must be greater than 0; None is for never")
