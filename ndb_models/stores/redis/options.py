"""Where a Redis or Valkey is, and the URI that says so."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ndb_models.errors import InvalidArgumentError
from ndb_models.raising import raise_without_context

SCHEMES: Final[Mapping[str, tuple[bool, bool]]] = {
    f"{server}{tls}{cluster}": (bool(tls), bool(cluster))
    for server in ("redis", "valkey")
    for tls in ("", "s")
    for cluster in ("", "+cluster")
}
"""The schemes of URIs: each with whether it speaks TLS, and whether it names nodes of a cluster."""

_EXAMPLES: Final = "try 'redis://127.0.0.1:6379/0', or 'redis+cluster://host1:6379,host2:6379' for a cluster"
_DEFAULT_PORT: Final = 6379
_LARGEST_PORT: Final = 65535
_MOST_DIGITS: Final = 10
_HOST: Final = re.compile(r"[^\s\x00-\x1f\x7f]+")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_MOST_DATABASES: Final = 2**31
_MOST_REPLICAS: Final = 100
_MOST_BUCKETS: Final = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions:
    """How a store uses its servers.

    Args:
        prefix: how the names of its keys begin. Stores with different prefixes share servers, and each sees only its
            own keys.
        timeout: the seconds that a verb takes at most, repeated attempts among them. At most 30.
        attempt_timeout: the seconds without a byte from a server, while replies are due, after which it counts as hung.
            Its requests are then tried elsewhere, or again. Also for connecting.
        wait_replicas: how many replicas must have a write before it is acknowledged; 0 for none.
        wait_timeout: the seconds that they get to confirm it. Then `StoreNotReplicatedError` is raised.
        tls_ca: the file with the certificates to trust; None for the system's.
        shared_buckets: over how many hashes the shared map is spread. With more than one, it may grow beyond a node,
            and a verb on several of its keys is one step for each bucket only.

    Raises:
        InvalidArgumentError: an option has an invalid value.
    """

    prefix: str = "ndb"
    timeout: float = 10.0
    attempt_timeout: float = 1.0
    wait_replicas: int = 0
    wait_timeout: float = 1.0
    tls_ca: str | None = None
    shared_buckets: int = 1

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise InvalidArgumentError("prefix is 1 to 64 letters, digits or characters of '_.:/-'")
        _check("timeout", self.timeout, float, 0.01, 30)
        _check("attempt_timeout", self.attempt_timeout, float, 0.01, 30)
        _check("wait_timeout", self.wait_timeout, float, 0.01, 30)
        _check("wait_replicas", self.wait_replicas, int, 0, _MOST_REPLICAS)
        _check("shared_buckets", self.shared_buckets, int, 1, _MOST_BUCKETS)


def _check(name: str, value: object, kind: type, least: float, most: float) -> None:
    kinds = (int, float) if kind is float else (int,)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        what = "a number of seconds" if kind is float else "a whole number"
        raise InvalidArgumentError(f"{name} is {what} from {least:g} to {most:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUri:
    """The parts of a URI.

    Args:
        addresses: hosts and ports: one, or some nodes of a cluster.
        is_cluster: True if they are nodes of a cluster.
        tls: True if they speak TLS.
        user: the user; None for the default one.
        password: the password; None for none.
        database: the number of the database; 0 on a cluster.
        options: the store's options.
        persist_path: the directory for data sets of an engine in this process; None for none.
        shown: the URI without user, password and options.
    """

    addresses: tuple[tuple[str, int], ...]
    shown: str
    is_cluster: bool = False
    tls: bool = False
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    database: int = 0
    options: RedisOptions = field(default_factory=RedisOptions)
    persist_path: str | None = None


def parse_redis_uri(text: str) -> RedisUri:
    """Parse `redis://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS`, or `redis+cluster://HOST:PORT,HOST:PORT?OPTIONS`.

    `rediss` and `rediss+cluster` speak TLS; `valkey` may stand for `redis` in each. A special character in a user
    or a password is written with `%`.

    Raises:
        InvalidArgumentError: it is no such URI, or has unknown options or invalid values. No message holds a secret.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        raise_without_context(InvalidArgumentError(f"the URI is malformed; {_EXAMPLES}"))
    if parts.scheme not in SCHEMES or "://" not in text:
        raise InvalidArgumentError(f"this is no URI of a Redis; {_EXAMPLES}")
    if parts.fragment:
        raise InvalidArgumentError("the URI has a '#'; in a password it is written '%23'")
    tls, is_cluster = SCHEMES[parts.scheme]
    credentials, at, hosts = parts.netloc.rpartition("@")
    user, colon, password = credentials.partition(":")
    if user and not colon:
        raise InvalidArgumentError("the URI has a user and no password: 'redis://USER:PASSWORD@HOST', or 'USER:@HOST'")
    addresses = tuple(_address(host) for host in hosts.split(","))
    if len(addresses) > 1 and not is_cluster:
        raise InvalidArgumentError(f"{parts.scheme}:// names one server; for nodes use {parts.scheme}+cluster://")
    database = parts.path.strip("/")
    if is_cluster and database not in ("", "0"):
        raise InvalidArgumentError("a cluster has only the database 0")
    if database and not (_is_number(database) and int(database) < _MOST_DATABASES):
        raise InvalidArgumentError(f"a database is a number; {_EXAMPLES}")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    persist_path = given.pop(_PERSIST_PATH, None)
    options = _read_options(given)
    if options.tls_ca is not None and not tls:
        raise InvalidArgumentError("tls_ca is for TLS, which 'rediss://' and 'rediss+cluster://' speak")
    return RedisUri(
        addresses=addresses,
        shown=f"{parts.scheme}://{hosts}{f'/{database}' if database else ''}",
        is_cluster=is_cluster,
        tls=tls,
        user=unquote(user) if at and user else None,
        password=unquote(password) if at and colon else None,
        database=int(database or 0),
        options=options,
        persist_path=persist_path and os.path.abspath(persist_path),  # noqa: PTH100 - a Path drops what it takes for needless
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if ":" in text and not text.endswith("]") else (text, "", "")
    host = host.removeprefix("[").removesuffix("]")
    port = port or str(_DEFAULT_PORT)
    if not _is_host(host) or not _is_number(port) or not 0 < int(port) <= _LARGEST_PORT:
        raise InvalidArgumentError(f"the URI names no host, or a wrong port; {_EXAMPLES}")
    return host, int(port)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _is_host(text: str) -> bool:
    """Tell whether a name can be looked up, or is an address."""
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return _HOST.fullmatch(text) is not None


_PERSIST_PATH: Final = "persist_path"
_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "prefix": str,
    "timeout": float,
    "attempt_timeout": float,
    "wait_timeout": float,
    "tls_ca": str,
    "wait_replicas": int,
    "shared_buckets": int,
}


def _read_options(given: Mapping[str, str]) -> RedisOptions:
    unknown = given.keys() - _READ.keys()
    if unknown:
        has = ", ".join(map(repr, (*_READ, _PERSIST_PATH)))
        raise InvalidArgumentError(f"unknown option {min(unknown)!r} in the URI; redis:// has {has}")
    read: dict[str, Any] = {}
    for name, value in given.items():
        try:
            read[name] = _READ[name](value)
        except ValueError:
            raise_without_context(InvalidArgumentError(f"{name} is a number"))
    return RedisOptions(**read)
