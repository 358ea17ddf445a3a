"""The options of a server: its address, the clients it admits, and their limits."""

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
    """The address of a server, and the limits on its clients. Times in seconds, sizes in bytes.

    Args:
        host: the address to listen on. An address beyond this machine needs both tokens and TLS, unless `insecure` is
            set.
        port: the port; 0 for any free one.
        max_payload: the largest request; a larger one closes its connection with code 1009.
        send_timeout: how long a client may leave answers unread; after that it is cut off.
        insecure: listen beyond this machine even without tokens or TLS.
        tokens: the bearer tokens that open the server; None to let everyone do everything.
        tls_cert: a PEM file with the certificate and its intermediates; None for no TLS.
        tls_key: a PEM file with its key, without a passphrase.
        allow_origins: origins of pages that may connect; a handshake with any other `Origin` is refused.
        max_connections: the most clients at a time; a further handshake is refused with HTTP status 503.
        max_handshakes: the most connections in TLS and in the opening handshake, beyond those of clients. One more
            evicts the oldest of the address with the most.
        max_header_bytes: the largest request of a handshake, with its headers; a larger one gets HTTP status 431.
        max_connections_per_address: the most clients of one address, and the most handshakes. A further client is
            refused with HTTP status 429; a further handshake evicts the address's oldest. IPv6 addresses count by their
            /64. None for any number.
        handshake_rate_per_address: the most handshakes a second of one address, over ten seconds; one more is refused
            with HTTP status 429. None for any number.
        miss_rate: the most misses a second of one connection, over ten seconds; a miss is a token that no session has.
            One more gets status 14, and the connection is closed with code 1008. None for any number.
        miss_rate_per_address: the same for all connections of an address together.
        max_in_flight: the most requests of a connection that may wait; at that number, reading pauses.
        open_timeout: how long a client may take for its handshake, and for the TLS handshake before it.
        receive_timeout: how long a request may take from its first byte to its last; after that, its connection is
            closed with code 1008.
        close_timeout: how long a client may take to end a connection that is being closed; after that it is cut off.
        idle_timeout: how long a client may send no request; after that, its connection is closed with code 1001. None
            for ever.
        stop_timeout: how long stopping waits for requests to be answered and answers to be read; after that,
            connections are cut.
        reuse_port: share the port with other processes that set this too.

    Raises:
        InvalidArgumentError: an option is out of range, or conflicts with another.
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
        """The files of the certificate and its key; None for no TLS."""
        return None if self.tls_cert is None or self.tls_key is None else (self.tls_cert, self.tls_key)

    @property
    def secure(self) -> bool:
        """True if the server speaks TLS."""
        return self.tls_cert is not None

    def require_safe_address(self) -> None:
        """Refuse an address that other machines can reach, unless tokens and TLS protect it or `insecure` is set.

        Raises:
            InvalidArgumentError: the address is refused; names the missing protection.
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
    """Return True for the origin of a page, as browsers write it: `https://app.example.org`."""
    return _ORIGIN.fullmatch(text) is not None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
