"""Decide how much of a given text an error may repeat. A leaf: it does not import from this package."""

from __future__ import annotations

import re
from typing import Final

# A URI, or a part of one.
_MARKS: Final = ("://", ":/", "@", "=", "?", "#", "&")
# A token has digits, and is longer than ordinary words.
_LIKE_A_TOKEN: Final = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9_~+-]{16,}")
_BETWEEN_PARTS: Final = re.compile(r"[/\\:.\s]")


def may_be_secret(text: str) -> bool:
    """Return True if a text may hold a token or a password: a URI, an assignment, or a long part with digits.

    An absolute path counts as harmless, unless it looks like a URI or an assignment.
    """
    if any(mark in text for mark in _MARKS):
        return True
    return not text.startswith("/") and any(map(_LIKE_A_TOKEN.fullmatch, _BETWEEN_PARTS.split(text)))


def quoted(text: str, most: int = 40) -> str:
    """Return a text in quotes, cut to `most` characters; `this` if it may be a secret."""
    return "this" if may_be_secret(text) else repr(text[:most])


def shown(given: object) -> str:
    """Return a text, a path or a number as it is; `this` if it may be a secret."""
    text = str(given)
    return "this" if may_be_secret(text) else text
