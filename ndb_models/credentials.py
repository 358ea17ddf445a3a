"""A credential: the token of a session and a secret of 256 bits, as one text for a cookie or a header.

A session stores no secret, only the SHA-256 of one. Comparisons take the same time however much of a secret is right.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
import struct
from enum import Enum
from functools import lru_cache
from typing import Final, NoReturn

import msgspec

from ndb_models.errors import InvalidArgumentError
from ndb_models.types import SessionToken, redact
from ndb_models.uncopyable import Uncopyable

_TOKEN_BYTES: Final = 8
_SECRET_BYTES: Final = 32
# 40 bytes in base64, without the padding.
_CHARACTERS: Final = 54
_PADDING: Final = b"=="
# The last of them spells two bits, in the four letters whose other bits are 0.
_LAST: Final = frozenset("AQgw")

# Browsers send many requests with one cookie. So many texts are kept parsed, with their digests: at most 2 MB.
_PARSED: Final = 4096

_parts: Final = struct.Struct(f">Q{_SECRET_BYTES}s").unpack

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
# No standard spelling has an exclamation mark, so + and / are refused.
_STANDARD: Final = bytes.maketrans(b"-_+/", b"+/!!")


class Credential(Uncopyable):
    """Opens one session: its token, and a secret that only the client of the application has.

    `str(credential)` is its text: 54 letters, digits, `-` and `_`. `Credential.parse(text)` reads it. There is no other
    way to the text: reprs, formats and errors do not show it, and a credential cannot be copied, pickled or encoded.
    Equal credentials have the same text.

    Args:
        tkn: the token of the session.
        secret: 32 random bytes. `Repository.issue` and `Repository.renew` draw them.

    Raises:
        InvalidArgumentError: the token is no unsigned 64-bit integer, or the secret is not 32 bytes.
    """

    __slots__ = ("_digest", "_secret", "opened_at", "tkn", "used_until")

    INSTEAD = "pass on its text, str(credential), and parse that"

    def __init__(self, tkn: SessionToken, secret: bytes) -> None:
        given: tuple[object, object] = (tkn, secret)
        if type(given[0]) is not int or not 0 <= tkn < 2 ** (8 * _TOKEN_BYTES):
            raise InvalidArgumentError("the token of a credential is an unsigned 64-bit integer")
        if type(given[1]) is not bytes or len(secret) != _SECRET_BYTES:
            raise InvalidArgumentError(f"the secret of a credential is {_SECRET_BYTES} bytes")
        self.tkn: Final[SessionToken] = tkn
        """The token of the session."""
        self._secret: Final = secret
        self._digest = ""
        self.opened_at: object = None
        """Where it opened its session, when it was tried last; None if it did not, or never was."""
        self.used_until: float = 0
        """Until when the last read of its session that counted as a use is fresh, in milliseconds since 1970."""

    @classmethod
    def parse(cls, text: str | None) -> Credential | None:
        """Return the credential that a text spells, or None for a text that is not exactly such a spelling.

        Never raises, so a browser's input can be passed unchecked, of any length. None, like any other value that is no
        str, returns None. Only `Repository.authenticate` tells whether a credential opens a session.
        """
        given: object = text
        # Other last characters spell bits that are ignored.
        if not isinstance(given, str) or len(given) != _CHARACTERS or given[-1] not in _LAST:
            return None
        return _parsed(given)

    def __str__(self) -> str:
        return _spelled(self.tkn.to_bytes(_TOKEN_BYTES) + self._secret)

    def __format__(self, spec: str) -> NoReturn:
        """Refuse to be a part of another text by accident, such as a message."""
        raise InvalidArgumentError("a credential has no format: str(credential) is its text")

    def __repr__(self) -> str:
        return f"<Credential of session {redact(self.tkn)}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credential):
            return NotImplemented
        return hmac.compare_digest(self._secret, other._secret) and self.tkn == other.tkn

    def __hash__(self) -> int:
        return hash(self.tkn)

    @property
    def digest(self) -> str:
        """The SHA-256 of the secret, in base64url: 43 characters, which its session stores. It opens no session."""
        if not self._digest:
            self._digest = _spelled(hashlib.sha256(self._secret).digest())
        return self._digest

    def salted(self, salt: str) -> Credential:
        """Return a credential of the same session. Its secret is made of this one's and a salt."""
        return Credential(self.tkn, hmac.digest(self._secret, salt.encode(), "sha256"))


def _spelled(octets: bytes) -> str:
    """Return bytes in base64url, without padding."""
    return binascii.b2a_base64(octets, newline=False).translate(_URL_SAFE, b"=").decode()


@lru_cache(maxsize=_PARSED)
def _parsed(text: str) -> Credential | None:
    try:
        octets = binascii.a2b_base64(text.encode("ascii").translate(_STANDARD) + _PADDING, strict_mode=True)
    except ValueError:
        return None
    return Credential(*_parts(octets))


def draw_credential(tkn: SessionToken) -> Credential:
    """Return a new credential of a session, with an unpredictable secret."""
    return Credential(tkn, secrets.token_bytes(_SECRET_BYTES))


class SecretDigests(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The digests of secrets in a session: of the current one, and of the one before until its grace period ends.

    Without a former one, `former` is empty. Times are in milliseconds since 1970. `issued` is when the current one was
    made; 0 for one that an older release made. `salt` is there until a browser has shown the current secret: it makes
    the current secret of the former one. Alone it does not open the session.
    """

    current: str
    former: str = ""
    former_until: int = 0
    issued: int = 0
    salt: str = ""

    def __repr__(self) -> str:
        return "SecretDigests()"


def renewed(digests: SecretDigests | None, credential: Credential, grace: int, now: float) -> SecretDigests:
    """Return the digests of a session with a new credential. Its current secret becomes the former one.

    Args:
        digests: those by now; None for a session without a credential.
        credential: the new credential.
        grace: how long the secret that is current by now still opens the session, in milliseconds.
        now: in milliseconds since 1970.
    """
    if digests is None or not grace:
        return SecretDigests(credential.digest, issued=int(now))
    return SecretDigests(credential.digest, digests.current, int(now) + grace, int(now))


_SALT_BYTES: Final = 16


def followed(
    digests: SecretDigests, shown: Credential, unseen: int, now: float
) -> tuple[SecretDigests, Credential] | None:
    """Let a new credential follow the current one. Return the new digests of the session, and the credential.

    The secret of the new one is made of the old one's and a salt, so every request that shows the old one can be told
    the new one. Return None if the credential is not the current one.

    Args:
        digests: those of the session by now.
        shown: the credential that came with a request.
        unseen: how long the old one opens the session while no request shows the new one, in milliseconds.
        now: in milliseconds since 1970.
    """
    if not is_current(shown, digests):
        return None
    salt = secrets.token_urlsafe(_SALT_BYTES)
    follower = shown.salted(salt)
    return SecretDigests(follower.digest, digests.current, int(now) + unseen, int(now), salt), follower


def follower_of(credential: Credential, digests: SecretDigests | None) -> Credential | None:
    """Return the credential that followed this one, if no request has shown it yet; else None."""
    if digests is None or not digests.salt:
        return None
    follower = credential.salted(digests.salt)
    return follower if is_current(follower, digests) else None


def seen(digests: SecretDigests, grace: int, now: float) -> SecretDigests:
    """Return the digests once a request has shown the current secret: the grace period of the former one begins.

    Args:
        digests: those by now.
        grace: how long the former secret still opens the session, in milliseconds.
        now: in milliseconds since 1970.
    """
    until = min(digests.former_until, int(now) + grace)
    return msgspec.structs.replace(digests, former_until=until, salt="")


# No digest has such characters, so no digest is equal to it.
_NO_DIGEST: Final = "." * 43
_NO_DIGESTS: Final = SecretDigests(_NO_DIGEST, _NO_DIGEST)


class Opens(Enum):
    """Which of a session's secrets a credential has."""

    NOTHING = "none: it does not open the session"
    AS_FORMER = "the one before the current one, in its grace period"
    AS_CURRENT = "the current one"


# Looking a member up in its enum takes several times as long.
NOTHING: Final = Opens.NOTHING
AS_FORMER: Final = Opens.AS_FORMER
AS_CURRENT: Final = Opens.AS_CURRENT


def opens(credential: Credential, digests: SecretDigests | None, now: float) -> Opens:
    """Tell whether a credential opens the session that stores these digests; None for no session, or one without them.

    The same work is done in every case.

    Args:
        credential: the credential. Its token must be the session's.
        digests: those of the session.
        now: in milliseconds since 1970.
    """
    stored = digests or _NO_DIGESTS
    shown = credential.digest.encode()
    is_current = hmac.compare_digest(shown, stored.current.encode())
    is_former = hmac.compare_digest(shown, (stored.former or _NO_DIGEST).encode())
    if is_current:
        return AS_CURRENT
    return AS_FORMER if is_former and now < stored.former_until else NOTHING


def is_current(credential: Credential, digests: SecretDigests | None) -> bool:
    """Tell whether a credential has the current secret of the session that stores these digests."""
    return opens(credential, digests, 0) is AS_CURRENT
