"""The facts that the rules judge, as plain values. Sizes in bytes, times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class SystemFacts(NamedTuple):
    """This process: the versions of Python, of this package and of SQLite."""

    python: tuple[int, int]
    package: str
    sqlite: tuple[int, ...] | None


class CertificateFacts(NamedTuple):
    """A certificate: its fault, or else the end of its validity (since 1970)."""

    fault: str | None
    expires: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """A server behind `ws://` or `wss://`.

    Args:
        shown: its URI, without credentials.
        host: the host that the URI names.
        is_secure: True for `wss://`.
        token_bits: the most bits of randomness that the given token can hold; None if no token is given.
        unreachable: why it cannot be used; None if it can.
        version: the version that it tells; "" if it tells none.
        persists: True if it has a persist path.
        skew: by how many seconds its clock is ahead of this one; None if it does not tell the time.
        latency: the seconds that the fastest of some requests took; None if it cannot be used.
        certificate: None if it was not looked at.
        open_without_token: True if a client without a token gets in; None if that was not tried.
    """

    shown: str
    host: str
    is_secure: bool
    token_bits: int | None = None
    unreachable: str | None = None
    version: str = ""
    persists: bool | None = None
    skew: float | None = None
    latency: float | None = None
    certificate: CertificateFacts | None = None
    open_without_token: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteFacts:
    """A store in a file.

    Args:
        path: the file.
        exists: True if it is there.
        unreadable: why it cannot be read as a store; None if it can.
        open_to: the files that others than the owner may read or change: path and users.
        folder_open_to: the users besides its owner that may change the folder; None for no others.
        synchronous: of the URI, "full" or "normal".
        journal_mode: `wal`, or `delete` for any other.
        quick_check: the first fault that SQLite finds; None if it finds none, "" if it was not looked for.
        size: of the file.
        log_size: of the write-ahead log.
        free: the space that is left on its disk; None if the system does not tell.
        file_system: its kind, such as `ext4`; "" if the system does not tell.
    """

    path: str
    exists: bool
    unreadable: str | None = None
    open_to: tuple[tuple[str, str], ...] = ()
    folder_open_to: str | None = None
    synchronous: str = "full"
    journal_mode: str = ""
    quick_check: str | None = ""
    size: int = 0
    log_size: int = 0
    free: int | None = None
    file_system: str = ""


class RedisServerFacts(NamedTuple):
    """One server of a Redis or Valkey.

    `settings` are the fields of `INFO`, and `save` of `CONFIG`; empty if it does not tell. `skew` is by how many
    seconds its clock is ahead of this one.
    """

    name: str
    settings: Mapping[str, str]
    skew: float | None
    latency: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """A store on a Redis or Valkey. `hosts` are those that the URI names."""

    shown: str
    hosts: tuple[str, ...]
    is_secure: bool
    has_password: bool
    wait_replicas: int
    is_cluster: bool = False
    unreachable: str | None = None
    servers: tuple[RedisServerFacts, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationFacts:
    """The configuration of a server, as `serve` would read it.

    Args:
        refused: why `serve` would not start; None if it would.
        host: the address to listen on.
        is_loopback: True if only this machine reaches it.
        is_secure: True if it has a certificate.
        is_insecure: True if it may listen without protection.
        token_bits: the most bits of randomness that each token can hold.
        admin_tokens: how many tokens are an admin's.
        warnings: the warnings that `serve` would log at its start.
        certificate: None without one.
        store: the URI of the store, without credentials.
        max_payload: the largest request.
        max_bytes: the limit of a store in memory; None for the default, 0 for no limit.
        memory_left: the memory that is left; None if the system does not tell.
        descriptors: how many descriptors the server may need, and how many it may open.
        persist_path: the directory of data sets, and the users besides its owner that reach it; None without one.
        allow_origins: the origins whose pages may connect.
        limits_guessing: True if clients that guess tokens are cut off.
        has_dashboard: True if the status page is served.
        writes_dashboard: True if the status page may end sessions.
        workers: the number of processes.
        log_level: how much is logged.
    """

    refused: str | None = None
    host: str = ""
    is_loopback: bool = True
    is_secure: bool = False
    is_insecure: bool = False
    token_bits: tuple[int, ...] = ()
    admin_tokens: int = 0
    warnings: tuple[str, ...] = ()
    certificate: CertificateFacts | None = None
    store: str = ""
    max_payload: int = 0
    max_bytes: int | None = None
    memory_left: int | None = None
    descriptors: tuple[float, float] = (0, 0)
    persist_path: tuple[str, str | None] | None = None
    allow_origins: tuple[str, ...] = ()
    limits_guessing: bool = False
    has_dashboard: bool = False
    writes_dashboard: bool = False
    workers: int = 1
    log_level: str = "warning"
