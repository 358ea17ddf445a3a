"""Finds numbers in JSON text that a NemesisDB does not return as they were sent.

Integers beyond 64 bits come back as strings, numbers beyond a double as null, and `-0.0` as `0.0`.
"""

from __future__ import annotations

import re
from math import isinf
from typing import Final

_LARGEST: Final = 2**64 - 1
_SMALLEST: Final = -(2**63)
# Integers of at most so many digits fit into 64 bits; integers of more than `_MOST_DIGITS` digits do not.
_SURELY_FITS: Final = 18
_MOST_DIGITS: Final = 20

_TO_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG: Final = b"0" * (_SURELY_FITS + 1)
_NEGATIVE_ZERO: Final = b"-0.0"

# Strings are matched in order to skip them. The quantifiers are possessive, so that the scan takes linear time.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?[0-9][0-9.eE+-]*+', re.DOTALL)

BEYOND_64_BITS: Final = "it holds an integer beyond 64 bits, which this server returns as a string; store it as a str"
BEYOND_DOUBLE: Final = "it holds a number beyond a double, which this server returns as null; store it as a str"
NEGATIVE_ZERO: Final = "it holds -0.0, which this server returns as 0.0"


def may_be_altered(text: bytes) -> bool:
    """Tell quickly whether a text that Pydantic wrote may hold such a number. False is certain.

    Only integers and `-0.0` are looked for, since Pydantic writes no float beyond a double.
    """
    if _NEGATIVE_ZERO in text:
        return True
    return len(text) > _SURELY_FITS and _LONG in text.translate(_TO_ZEROS)


def why_altered(text: bytes) -> str | None:
    """Return why a valid JSON text comes back with a changed number, or None if all numbers come back as they are."""
    for token in _TOKENS.finditer(text):
        literal = token[0]
        if literal[:1] != b'"':
            reason = _why_altered(literal)
            if reason is not None:
                return reason
    return None


def _why_altered(literal: bytes) -> str | None:
    digits = literal.lstrip(b"-")
    if digits.isdigit():
        if len(digits) <= _SURELY_FITS:
            return None
        fits = len(digits) <= _MOST_DIGITS and _SMALLEST <= int(literal) <= _LARGEST
        return None if fits else BEYOND_64_BITS
    number = float(literal)
    if isinf(number):
        return BEYOND_DOUBLE
    return NEGATIVE_ZERO if number == 0 and literal[:1] == b"-" else None
