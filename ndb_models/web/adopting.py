"""`StarletteCookie`: the cookies of Starlette's `SessionMiddleware`, to carry their content over. No I/O.

Such a cookie is `content.time.signature`: JSON in base64, the time of signing, and an HMAC. The format is itsdangerous'
and has been the same for years, so its few lines are written here. The program can drop that package when it moves.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from pydantic import SecretStr

from ndb_models.credentials import Credential
from ndb_models.errors import InvalidArgumentError
from ndb_models.schema.model import SessionModel
from ndb_models.web.audited import most_bits
from ndb_models.web.cookies import CookieSettings

_TWO_WEEKS: Final = 14 * 24 * 60 * 60
_ATTRIBUTE: Final = re.compile(r"[^;,\x00-\x20\x7f-\U0010ffff]+")
_SALT: Final = b"itsdangerous.Signersigner"

_NONCE_BYTES: Final = 16


class OldSession(NamedTuple):
    """A session that a cookie of Starlette's holds.

    Attributes:
        content: the values of `request.session`.
        seconds_left: for so long Starlette would have taken the cookie; None for ever.
        signed: the signed part of the cookie. Of its signature there are several spellings, of this there is one.
        key: the key that it was signed with.
    """

    content: dict[str, Any]
    seconds_left: int | None
    signed: bytes
    key: bytes

    def __repr__(self) -> str:
        return "OldSession()"

    @property
    def digest(self) -> str:
        """Names the cookie in the notes of cookies that were carried over. It does not betray the content."""
        return hmac.new(self.key, b"ndb_models: digest of " + self.signed, "sha256").hexdigest()

    def seal(self, credential: Credential) -> str:
        """Return a credential as a text that only this cookie opens, together with the program's secret."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = base64.urlsafe_b64decode(f"{credential!s}==")
        return base64.urlsafe_b64encode(nonce + self._masked(plain, nonce)).decode()

    def unseal(self, sealed: str) -> str:
        """Return the text of a credential that was sealed."""
        both = base64.urlsafe_b64decode(sealed)
        plain = self._masked(both[_NONCE_BYTES:], both[:_NONCE_BYTES])
        return base64.urlsafe_b64encode(plain).decode().rstrip("=")

    def _masked(self, text: bytes, nonce: bytes) -> bytes:
        mask = hmac.digest(self.key, b"ndb_models: seal of " + nonce + self.signed, "sha512")
        return bytes(one ^ other for one, other in zip(text, mask, strict=False))


@dataclass(frozen=True, slots=True, init=False)
class StarletteCookie:
    """The cookie of Starlette's `SessionMiddleware`, whose sessions are to be carried over.

        sessions = WebSessions("sqlite:///sessions.db", UserSession, adopt=StarletteCookie(SECRET_KEY))

    Give the arguments that `SessionMiddleware` had. Signature and age are checked as it does. Content that does not fit
    the class is not carried over: such a visitor has no session. docs/web_moving_in.md says what a logout leaves.

    Args:
        secret: the `secret_key`; several ones if it was changed in the last `max_age` seconds. Of Starlette's own
            `Secret`, give `str(secret)`.
        cookie: the `session_cookie`.
        max_age: in seconds; None for cookies that hold for ever.
        to_model: makes a session of the content, or returns None for content that is not to be carried over. By
            default the keys are the fields; others are kept by a class with `extra="allow"`, and left out otherwise.
        path: as the four below, needed to remove the cookie from the browser.
        same_site: its `SameSite`.
        https_only: whether it is `Secure`.
        domain: its `Domain`, if it has one.
        partitioned: whether it is `Partitioned`.

    Raises:
        InvalidArgumentError: an argument is wrong.
    """

    cookie: str
    max_age: int | None
    to_model: Callable[[dict[str, Any]], SessionModel | None] | None
    secret_bits: int = field(repr=False)
    """The most bits of randomness that the weakest secret can hold."""
    removing_header: bytes = field(repr=False)
    _path: str = field(repr=False)
    _has_domain: bool = field(repr=False)
    _keys: tuple[bytes, ...] = field(repr=False)

    def __init__(
        self,
        secret: str | SecretStr | Sequence[str | SecretStr],
        *,
        cookie: str = "session",
        max_age: int | None = _TWO_WEEKS,
        to_model: Callable[[dict[str, Any]], SessionModel | None] | None = None,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
    ) -> None:
        given: object = max_age
        if given is not None and (type(given) is not int or given < 1):
            raise InvalidArgumentError(
                "StarletteCookie(max_age=) is a number of seconds, as SessionMiddleware's, or None"
            )
        if not all(map(_ATTRIBUTE.fullmatch, (cookie, path, domain or "-"))) or "=" in cookie:
            raise InvalidArgumentError("StarletteCookie(cookie=, path=, domain=) are those of SessionMiddleware")
        secrets_given = [secret] if isinstance(secret, (str, SecretStr)) else _listed(secret)
        several = [_text(each) for each in secrets_given]
        attributes = (
            f"{cookie}=null; path={path}; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite={same_site}"
            f"{'; secure' if https_only else ''}{f'; domain={domain}' if domain else ''}"
            f"{'; partitioned' if partitioned else ''}"
        )
        for name, value in {
            "cookie": cookie,
            "max_age": max_age,
            "to_model": to_model,
            "secret_bits": min(map(most_bits, several)),
            "removing_header": attributes.encode("latin-1"),
            "_path": path,
            "_has_domain": domain is not None,
            "_keys": tuple(map(_key, several)),
        }.items():
            object.__setattr__(self, name, value)

    def opened(self, headers: Iterable[tuple[bytes, bytes]], now: float) -> OldSession | None:
        """Return the session that a request shows, in the last cookie of this name that is genuine and not too old.

        Takes a browser's input unchecked; never raises. Returns None if there is no such cookie. The names of headers
        are in lower case. `now` is in seconds since 1970.
        """
        for value in reversed(self._values_in(headers)):
            old = self._opened(value, now)
            if old is not None:
                return old
        return None

    def is_same_as(self, cookie: CookieSettings) -> bool:
        """Tell whether a browser takes a cookie of ours for this one."""
        return (cookie.name, cookie.path, self._has_domain) == (self.cookie, self._path, False)

    def is_in(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Tell whether the `headers` of a request show a cookie of this name, genuine or not."""
        return bool(self._values_in(headers))

    def _values_in(self, headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
        lines = [line.decode("latin-1") for header, line in headers if header == b"cookie"]
        pairs = [pair.partition("=") for line in lines for pair in line.split(";")]
        return [value.strip() for name, equals, value in pairs if equals and name.strip() == self.cookie]

    def _opened(self, value: str, now: float) -> OldSession | None:
        signed_text, _, signature = value.rpartition(".")
        content_text, _, time_text = signed_text.rpartition(".")
        if not (content_text and value.isascii()):
            return None
        signed = signed_text.encode()
        key = next(
            (key for key in self._keys if hmac.compare_digest(_signature(key, signed), signature.encode())), None
        )
        if key is None:
            return None
        time = _decoded(time_text)
        age = int(now) - int.from_bytes(time)
        if not time or (self.max_age is not None and not 0 <= age <= self.max_age):
            return None
        try:
            content: object = json.loads(base64.b64decode(content_text))
        except (ValueError, RecursionError):
            return None
        if not (isinstance(content, dict) and content):
            return None
        return OldSession(content, None if self.max_age is None else self.max_age - age, signed, key)


def _listed(secrets: object) -> list[object]:
    if not isinstance(secrets, (list, tuple)) or not secrets:
        raise InvalidArgumentError(
            "StarletteCookie(secret) is the secret_key of SessionMiddleware, or a list of several"
        )
    return [*secrets]


def _text(secret: object) -> str:
    text = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    if not isinstance(text, str):
        raise InvalidArgumentError("each secret of StarletteCookie is a str; of Starlette's Secret, give str(secret)")
    if not text:
        raise InvalidArgumentError("a secret of StarletteCookie is empty: anyone could sign with it")
    return text


def _key(secret: str) -> bytes:
    return hashlib.sha1(_SALT + secret.encode()).digest()


def _signature(key: bytes, signed: bytes) -> bytes:
    return base64.urlsafe_b64encode(hmac.digest(key, signed, "sha1")).rstrip(b"=")


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return b""
