"""What a server is told: where it listens, whom it lets in, and what it lets them do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.server.tokens import Tokens

_MORE_THAN_NOTHING: Final = (
    "max_payload",
    "max_connections",
    "max_handshakes",
    "max_header_bytes",
    "max_connections_per_address",
    "handshake_rate_per_address",
    "max_in_flight",
    "miss_rate",
    "miss_rate_per_address",
    "open_timeout",
    "receive_timeout",
    "send_timeout",
    "close_timeout",
    "idle_timeout",
)
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a server listens on, and what it lets clients do. Times in seconds, sizes in bytes.

    Args:
        host: the address to listen on. One beyond this machine is refused without both tokens and TLS, unless
            `insecure` is set.
        port: 0 for any that is free.
        max_payload: the largest request; a larger one closes its connection with code 1009.
        send_timeout: how long a client may leave answers unread before it is cut off.
        insecure: listen beyond this machine without tokens or TLS all the same.
        tokens: the bearer tokens that open the server; None to let everyone do everything.
        tls_cert: the certificate, with those between it and its root, in a PEM file; None for no TLS.
        tls_key: its key, in a PEM file, without a passphrase.
        allow_origins: the origins whose pages may connect; handshakes of any other `Origin` are refused.
        max_connections: how many clients may be connected; a handshake more is refused with HTTP status 503.
        max_handshakes: how many connections there may be beyond those of clients, in TLS and in the opening handshake.
            One more evicts the oldest of the address that has most.
        max_header_bytes: the largest request of a handshake, with its headers; a larger one gets HTTP status 431.
        max_connections_per_address: how many clients of one address may be connected; a handshake more is refused with
            HTTP status 429. IPv6 addresses count by their /64. None for any number.
        handshake_rate_per_address: how many handshakes a second an address may begin, over ten seconds; one more is
            refused with HTTP status 429. None for any number.
        miss_rate: how many tokens that no session has a connection may name a second, over ten seconds. One more is
            answered with status 14, and the connection is closed with code 1008. None for any number.
        miss_rate_per_address: the same for all connections of an address together.
        max_in_flight: how many requests of a connection may wait before no more are read from it.
        open_timeout: how long a client may take for its handshake, and for the one of TLS before it.
        receive_timeout: how long a request may take to come in, from its first byte to its last, before its connection
            is closed with code 1008.
        close_timeout: how long a client may take to end a connection that is being closed before it is cut off.
        idle_timeout: how long a client may send no request before its connection is closed (code 1001); None for ever.
        stop_timeout: how long stopping may wait for what is being answered and read before connections are cut.
        reuse_port: share the port with other processes that do so too.

    Raises:
        InvalidArgumentError: an option is out of range, or does not go together with another.
    """

    host: str = "127.0.0.1"
    port: int = 1987
    max_payload: int = 1024 * 1024
    send_timeout: float = 30.0
    insecure: bool = False
    tokens: Tokens | None = field(default=None, kw_only=True)
    tls_cert: Path | None = field(default=None, kw_only=True)
    tls_key: Path | None = field(default=None, kw_only=True)
    allow_origins: tuple[str, ...] = field(default=(), kw_only=True)
    max_connections: int = field(default=10_000, kw_only=True)
    max_handshakes: int = field(default=256, kw_only=True)
    max_header_bytes: int = field(default=16 * 1024, kw_only=True)
    max_connections_per_address: int | None = field(default=None, kw_only=True)
    handshake_rate_per_address: float | None = field(default=None, kw_only=True)
    miss_rate: float | None = field(default=None, kw_only=True)
    miss_rate_per_address: float | None = field(default=None, kw_only=True)
    max_in_flight: int = field(default=64, kw_only=True)
    open_timeout: float = field(default=10.0, kw_only=True)
    receive_timeout: float = field(default=60.0, kw_only=True)
    close_timeout: float = field(default=10.0, kw_only=True)
    idle_timeout: float | None = field(default=None, kw_only=True)
    stop_timeout: float = field(default=10.0, kw_only=True)
    reuse_port: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for name in _MORE_THAN_NOTHING:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidArgumentError(f"{name} must be greater than 0")
        if self.stop_timeout < 0:
            raise InvalidArgumentError("stop_timeout must not be less than 0")
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise InvalidArgumentError("a certificate needs its key, and a key its certificate: give both or none")
        for origin in self.allow_origins:
            if not is_origin(origin):
                raise InvalidArgumentError(
                    "an origin is like https://app.example.org, in small letters, without a path"
                )

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """The files of the certificate and of its key; None for no TLS."""
        return None if self.tls_cert is None or self.tls_key is None else (self.tls_cert, self.tls_key)

    @property
    def secure(self) -> bool:
        """Whether it listens with TLS."""
        return self.tls_cert is not None

    def require_safe_address(self) -> None:
        """Refuse an address that other machines can reach, unless they need a token and TLS, or it is meant.

        Raises:
            InvalidArgumentError: it is refused; says what is missing.
        """
        missing = [
            what
            for what, there in (("tokens (--token-file)", self.tokens), ("TLS (--tls-cert, --tls-key)", self.tls_cert))
            if there is None
        ]
        if missing and not self.insecure and not _is_loopback(self.host):
            raise InvalidArgumentError(
                f"{self.host or 'every address'} can be reached from other machines, and there is no protection by"
                f" {' and '.join(missing)}: add it, listen on 127.0.0.1, or say that it is meant (--insecure)"
            )


def is_origin(text: str) -> bool:
    """Tell whether this is the origin of a page, as browsers write it: `https://app.example.org`."""
    return _ORIGIN.fullmatch(text) is not None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
