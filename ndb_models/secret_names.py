"""Which names of fields, and which forms of text, tell that a value is a secret. Imports only types.

A name is split into words: `apiKey` and `api_key` are the same.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from ndb_models.types import JsonValue

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PLURAL: Final = re.compile(r"(?<=[^s])s$")
_SECRETS: Final = frozenset(
    {"apikey", "authorization", "bearer", "cookie", "credential", "csrf", "cvc", "cvv", "jwt", "mnemonic", "nonce"}
    | {"otp", "passcode", "passphrase", "passwd", "password", "pin", "pwd", "salt", "secret", "signature", "token"}
    | {"totp", "xsrf"}
)
_KEYS: Final = ("access", "api", "auth", "encryption", "private", "secret", "session", "shared", "signing")
_CODES: Final = ("access", "auth", "backup", "login", "recovery", "security", "verification")
_PAIRS: Final = frozenset(
    {(word, "key") for word in _KEYS}
    | {(word, "code") for word in _CODES}
    | {(word, "phrase") for word in ("pass", "recovery", "seed")}
)
# A signed token of JSON (JWT), and a private key in PEM.
_FORM: Final = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----")


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case and in the singular."""
    return [_PLURAL.sub("", word.lower()) for word in _WORD.findall(name)]


def is_secret_name(name: str) -> bool:
    """Tell whether a field or a member of this name holds a secret."""
    words = words_of(name)
    return any(word in _SECRETS for word in words) or any(pair in _PAIRS for pair in pairwise(words))


def has_secret_form(value: JsonValue) -> bool:
    """Tell whether a value is a text that looks like a secret: a signed token, or a private key."""
    return isinstance(value, str) and _FORM.match(value) is not None
