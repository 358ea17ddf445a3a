"""The settings of an application that decide which requirements its sessions meet, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from ndb_models.schema.expiry import Expiry
from ndb_models.web.hosts import is_loopback

Aal: TypeAlias = Literal[1, 2, 3]
"""An authenticator assurance level of NIST SP 800-63B."""

Csrf: TypeAlias = Literal["origin", "token", "off"]

_TLS_SCHEMES: Final = frozenset({"wss", "rediss", "valkeys"})
_HEX: Final = frozenset("0123456789abcdef")


class Verdict(StrEnum):
    """How settings stand to a requirement."""

    MET = "met"
    BROKEN = "broken"
    ADVICE = "advice"
    ACCEPTED = "accepted"


class Finding(NamedTuple):
    """The outcome of one rule.

    Attributes:
        rule: its name.
        verdict: how the settings stand to the requirements.
        requirements: the numbers or sections of the standards.
        value: the settings, in words.
        advice: the remedy; empty where the requirements are met.
    """

    rule: str
    verdict: Verdict
    requirements: tuple[str, ...]
    value: str
    advice: str


class StoreSettings(NamedTuple):
    """The store of sessions, by its URI.

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
    """The origins whose pages may read answers, by a CORS middleware. `origins` may hold `*`."""

    origins: tuple[str, ...] = ()
    pattern: str | None = None
    with_cookies: bool = False


@dataclass(frozen=True, kw_only=True)
class AuditedSettings:
    """The settings of one `SessionMiddleware`, and of the application around it.

    Args:
        place: where it stands in the application, such as `app` or `app/admin`.
        model: the name of the class.
        expiry: of the class. `short`: of logins that are not to be remembered.
        principals: the names of the fields that name the user and the rights.
        user_lookup: the field that finds all sessions of a user. `user_limit`: the most sessions that it allows.
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
    """Return the store of a URI. No credentials are kept."""
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


def most_bits(secret: str) -> int:
    """Return the most bits of randomness that a secret can hold, by its length and its alphabet.

    A character holds 4 bits if all are hexadecimal digits, else 6. Few different characters hold no more than they can.
    """
    different = len(set(secret))
    each = 4.0 if set(secret.lower()) <= _HEX else 6.0
    if different < 8:
        each = min(each, math.log2(max(different, 1)))
    return int(len(secret) * each)
