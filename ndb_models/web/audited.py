"""The settings of an application that decide which requirements its sessions meet, as plain values."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from ndb_models.schema.expiry import Expiry

Aal: TypeAlias = Literal[1, 2, 3]
"""An authenticator assurance level of NIST SP 800-63B."""

Csrf: TypeAlias = Literal["origin", "token", "off"]

_TLS_SCHEMES: Final = frozenset({"wss", "rediss", "valkeys"})
_HEX: Final = frozenset("0123456789abcdef")


class Verdict(StrEnum):
    """What the settings mean for a requirement."""

    MET = "met"
    BROKEN = "broken"
    ADVICE = "advice"
    ACCEPTED = "accepted"


class Finding(NamedTuple):
    """What the settings mean for some requirements.

    `rule` is the name of the rule, `requirements` are those of the standards, `value` says what is set, and `advice`
    what to do; it is empty where the requirements are met.
    """

    rule: str
    verdict: Verdict
    requirements: tuple[str, ...]
    value: str
    advice: str


class StoreSettings(NamedTuple):
    """Where sessions are stored, as far as a URI tells it.

    `shown` is the URI without credentials. `hosts` is empty for a store in this process.
    """

    shown: str
    scheme: str
    hosts: tuple[str, ...] = ()

    @property
    def is_private(self) -> bool:
        """True if the connection cannot be listened to on a network: encrypted, or within this machine."""
        return self.scheme.partition("+")[0] in _TLS_SCHEMES or all(map(is_loopback, self.hosts))


class CorsSettings(NamedTuple):
    """What a CORS middleware lets pages of other origins read. `origins` may hold `*`."""

    origins: tuple[str, ...] = ()
    pattern: str | None = None
    with_cookies: bool = False


@dataclass(frozen=True, kw_only=True)
class AuditedSettings:
    """The settings of one `SessionMiddleware`, and of the application around it.

    Args:
        place: where it stands in the application, such as `app` or `app/admin`.
        model: the name of the class.
        expiry: of the class; `short`: of logins that are not to be remembered.
        principals: the names of the fields that name the user and the rights.
        user_lookup: the field that finds all sessions of a user; `user_limit`: the most sessions it allows.
        is_tracked: True if the class has `track=`.
        same_site: of the cookie, in small letters.
        adopted_bits: the most bits that the secret of adopted cookies can hold; None if none are adopted.
        store: None if it is not known.
        workers: processes that serve the application; None if it is not known.
        is_debug: True if the application shows tracebacks.
        signed_cookies: True if a middleware keeps other sessions in signed cookies.
        same_cookie: places of other sessions with the same cookie.
    """

    place: str
    model: str
    expiry: Expiry | None
    short: Expiry | None = None
    principals: tuple[str, ...] = ()
    user_lookup: str | None = None
    user_limit: int | None = None
    is_tracked: bool = False
    cookie_name: str = "__Host-session"
    is_secure: bool = True
    same_site: str = "lax"
    is_development: bool = False
    csrf: Csrf = "origin"
    trusted_origins: tuple[str, ...] = ()
    renew_every: timedelta | None = None
    grace: timedelta = timedelta(seconds=30)
    adopted_bits: int | None = None
    store: StoreSettings | None = None
    workers: int | None = None
    cors: tuple[CorsSettings, ...] = ()
    is_debug: bool = False
    signed_cookies: bool = False
    same_cookie: tuple[str, ...] = ()


def store_settings(uri: str) -> StoreSettings:
    """Return what a URI tells of a store. No credentials are kept."""
    parts = urlsplit(uri)
    authority = parts.netloc.rpartition("@")[2]
    if parts.scheme in ("memory", "sqlite"):
        return StoreSettings(f"{parts.scheme}://{parts.netloc}{parts.path}", parts.scheme)
    hosts = tuple(_host_of(each) for each in authority.split(","))
    return StoreSettings(f"{parts.scheme}://{authority}", parts.scheme, hosts)


def _host_of(address: str) -> str:
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Return True if a host is this machine, by its name alone."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def most_bits(secret: str | bytes) -> int:
    """Return the most bits of randomness that a secret can hold, by its length and its alphabet.

    A text of hexadecimal digits holds 4 bits a character, other texts 6, and bytes that are no text 8. A secret of few
    different characters holds no more than they do.
    """
    if isinstance(secret, bytes):
        try:
            secret = secret.decode("ascii")
        except UnicodeDecodeError:
            return 8 * len(secret)
    different = len(set(secret))
    each = 4.0 if set(secret.lower()) <= _HEX else 6.0
    if different < 8:
        each = min(each, math.log2(max(different, 1)))
    return int(len(secret) * each)
