"""Which values the page may show. No I/O.

Every value is hidden until someone asks for it. A secret stays hidden even then: by its type where the model is known,
by its name, or by its form. This looks at every depth of a value. A name is split into words: `apiKey` and `api_key`
are the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from itertools import pairwise
from typing import Final, NamedTuple

from ndb_models.types import JsonValue

HIDDEN: Final = "••••••"
"""Stands for a secret inside of a value that is shown."""

MOST_CHARACTERS: Final = 4000
"""The most characters of one value that are shown."""

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


class ShownValue(NamedTuple):
    """A value as the page shows it.

    Attributes:
        kind: its kind, for people.
        text: a text as it is, any other value as indented JSON.
        is_cut: True if the end is left out.
    """

    kind: str
    text: str
    is_cut: bool


def is_secret_name(name: str) -> bool:
    """Tell whether a field or a member of this name holds a secret."""
    words = [_PLURAL.sub("", word.lower()) for word in _WORD.findall(name)]
    return any(word in _SECRETS for word in words) or any(pair in _PAIRS for pair in pairwise(words))


def is_secret(name: str, value: JsonValue, secrets: Collection[str] = ()) -> bool:
    """Tell whether a field is a secret as a whole. `secrets` are the fields that are secrets by their types."""
    return name in secrets or is_secret_name(name) or _has_secret_form(value)


def shown(value: JsonValue) -> ShownValue:
    """Return a value as the page shows it, without the secrets in it."""
    text = value if isinstance(value, str) else json.dumps(_masked(value), ensure_ascii=False, indent=2)
    return ShownValue(_kind(value), text[:MOST_CHARACTERS], len(text) > MOST_CHARACTERS)


def _masked(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: HIDDEN if is_secret(name, part) else _masked(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_masked(part) for part in value]
    return HIDDEN if _has_secret_form(value) else value


def _has_secret_form(value: JsonValue) -> bool:
    return isinstance(value, str) and _FORM.match(value) is not None


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return f"list of {len(value)}"
        case dict():
            return f"object of {len(value)}"
