"""A session token as text: for a cookie, a URL, a header, or JSON that JavaScript reads."""

from __future__ import annotations

import base64
import secrets
from typing import Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.types import SessionToken

_BYTES: Final = 8
_CHARACTERS: Final = 11
# The end of 8 bytes in base64, which a token's text leaves out.
_PADDING: Final = "="


def format_token(tkn: SessionToken) -> str:
    """Return the token `tkn` as text: 11 letters, digits, `-` and `_` (base64url of its 8 bytes).

    Each token has one spelling. `parse_token` reads it.

    Raises:
        InvalidArgumentError: the token is no unsigned 64-bit integer.
    """
    given: object = tkn
    if type(given) is not int:
        raise InvalidArgumentError(f"a token is an unsigned 64-bit integer, not a value of type {type(given).__name__}")
    try:
        return base64.urlsafe_b64encode(tkn.to_bytes(_BYTES)).decode().rstrip(_PADDING)
    except OverflowError:
        raise InvalidArgumentError("a token is an unsigned 64-bit integer; this one is out of range") from None


def parse_token(text: str | None) -> SessionToken | None:
    """Return the token that a text spells, or None for a text that `format_token` does not return.

    Never raises, so a browser's input can be passed unchecked: None, like any other value that is no str, returns None.
    A token that parses may still name no session; only reading the session tells.
    """
    given: object = text
    if not isinstance(given, str) or len(given) != _CHARACTERS:
        return None
    try:
        decoded = base64.urlsafe_b64decode(given + _PADDING)
    except ValueError:
        return None
    tkn = int.from_bytes(decoded)
    return tkn if len(decoded) == _BYTES and format_token(tkn) == given else None


def draw_token() -> SessionToken:
    """Return an unpredictable token. No session has the token 0."""
    return int.from_bytes(secrets.token_bytes(_BYTES)) or 1
