"""The options of a server: its address, the clients it admits, and their limits."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from websockets.http11 import Request

from ndb_models.errors import InvalidArgumentError
from ndb_models.server.setting_fields import file, number, seconds, settings_of, switch, text
from ndb_models.server.tokens import Tokens

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+")
# Older releases of websockets have no field of this name, and take GET alone.
_METHOD: Final = "method"
_NO_ORIGIN: Final = "an origin is like https://app.example.org, in small letters, without a path"


def _host(text: str) -> str:
    if not text.isprintable() or any(mark in text for mark in "/@?#= "):
        raise ValueError("an address is like 127.0.0.1, ::1 or sessions.example.org, without a scheme or a port")
    return text


def _origin(text: str) -> str:
    if _ORIGIN.fullmatch(text) is None:
        raise ValueError(_NO_ORIGIN)
    return text


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The address of a server, and the limits on its clients. Times in seconds, sizes in bytes.

    Each field says what it means; docs/server_limits.md says what a client meets at each limit. Limits are greater than
    0, and None means no limit. Rates are averages over ten seconds. IPv6 addresses count by their /64.

    Args:
        tokens: the bearer tokens that open the server; None to let everyone do everything.
        reuse_port: share the port with other processes that set this too.

    Raises:
        InvalidArgumentError: an option is out of range, or conflicts with another.
    """

    host: str = text("127.0.0.1", "address to listen on", _host, "ADDRESS", key="ip")
    port: int = number(1987, "port; 0 for any free one", least=0, most=65535, key="port")
    max_payload: int = number(
        1024 * 1024, "largest request in bytes", least=64, most=2**31 - 1, unit="bytes", key="maxPayload"
    )
    send_timeout: float = seconds(30.0, "time in which a client has to read something")
    insecure: bool = switch("allow an address that other machines can reach, without tokens or TLS")
    _: KW_ONLY
    tokens: Tokens | None = None
    tls_cert: Path | None = file("certificate (PEM), with those between it and its root: listen with TLS")
    tls_key: Path | None = file("its key (PEM)")
    allow_origins: tuple[str, ...] = text(
        (), "let pages of this origin connect; without it, no browser may", _origin, "ORIGIN", many=True
    )
    max_connections: int = number(10_000, "most clients at a time", most=1_000_000)
    max_handshakes: int = number(256, "most connections in their handshake; one more evicts the oldest", most=1_000_000)
    max_header_bytes: int = number(
        16 * 1024, "largest request of a handshake, with its headers", least=512, most=1024 * 1024, unit="bytes"
    )
    max_connections_per_address: int | None = number(None, "most clients of one address at a time", most=1_000_000)
    handshake_rate_per_address: float | None = number(None, "most handshakes of one address a second", most=1_000_000)
    miss_rate: float | None = number(None, "most wrong tokens a second from one client")
    miss_rate_per_address: float | None = number(None, "the same for all clients of an address")
    max_in_flight: int = number(64, "most requests of a client that wait before no more are read", most=1_000_000)
    open_timeout: float = seconds(10.0, "time for a client's handshake")
    receive_timeout: float = seconds(60.0, "time for a request to come in")
    close_timeout: float = seconds(10.0, "time in which a client has to end a closed connection")
    idle_timeout: float | None = seconds(None, "close connections without a request for so long")
    stop_timeout: float = seconds(10.0, "time to answer what was accepted when stopping", least=0)
    dashboard: bool = switch("serve the status page at /dashboard/, for admins")
    dashboard_write: bool = switch("let the status page end sessions")
    reuse_port: bool = False

    def __post_init__(self) -> None:
        for setting in _OPTIONS:
            value = getattr(self, setting.field)
            if setting.least is None or value is None or value > 0:
                continue
            if setting.least > 0:
                raise InvalidArgumentError(f"{setting.field} must be greater than 0")
            if value < 0:
                raise InvalidArgumentError(f"{setting.field} must not be less than 0")
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise InvalidArgumentError("a certificate needs its key, and a key its certificate: give both or none")
        if not all(map(_ORIGIN.fullmatch, self.allow_origins)):
            raise InvalidArgumentError(_NO_ORIGIN)
        if self.dashboard_write and not self.dashboard:
            raise InvalidArgumentError("dashboard_write is for the status page: set dashboard too")

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

    def require_safe_page(self) -> None:
        """Refuse a status page that no one could log in to, or that other machines can reach without tokens.

        Raises:
            InvalidArgumentError: the page is refused.
        """
        if not self.dashboard:
            return
        if _METHOD not in Request.__dataclass_fields__:
            raise InvalidArgumentError("the status page needs websockets 17 or later: pip install -U websockets")
        if self.tokens is None and not _is_loopback(self.host):
            raise InvalidArgumentError("the status page needs an admin's token beyond this machine (--token-file)")
        if self.tokens is not None and not self.tokens.admins:
            raise InvalidArgumentError("the status page is for admins, and no token is one's: add a line admin:TOKEN")


_OPTIONS: Final = settings_of(fields(ServerOptions))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: only the resolver knows
        return False
