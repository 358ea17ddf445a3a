"""The values that keys must have for a change to be made, and how they are compared: by text, to the byte."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeAlias


class TextDigest(bytes):
    """Stands for a text in a comparison: the first half of its SHA-256."""

    __slots__ = ()

    HEX_DIGITS: ClassVar[int] = 32

    @classmethod
    def of(cls, text: bytes) -> TextDigest:
        """Return the digest of a text."""
        return cls(hashlib.sha256(text).digest()[: cls.HEX_DIGITS // 2])


Expected: TypeAlias = Mapping[str, bytes | TextDigest | None]
"""The values that keys must have: a text, the digest of one, or None for a key that must be missing."""

NO_EXPECTATIONS: Final[Expected] = MappingProxyType({})


def as_expected(text: bytes | None, expected: bytes | TextDigest | None) -> bool:
    """Tell whether a key's text, None if it is missing, is the expected one."""
    if type(expected) is TextDigest:
        return text is not None and TextDigest.of(text) == expected
    return text == expected


_HEXADECIMAL: Final = frozenset("0123456789abcdef")


def is_digest(value: object) -> bool:
    """Tell whether a parsed JSON value is a digest, as hexadecimal digits."""
    return isinstance(value, str) and len(value) == TextDigest.HEX_DIGITS and _HEXADECIMAL.issuperset(value)


def told_by(expected: Expected) -> dict[str, Any]:
    """Return the parameters of a request that tell these values. A text that is longer than its digest becomes one."""
    texts: dict[str, str] = {}
    digests: dict[str, str] = {}
    for name, text in expected.items():
        if type(text) is TextDigest:
            digests[name] = text.hex()
        elif text is not None and len(text) > TextDigest.HEX_DIGITS:
            digests[name] = TextDigest.of(text).hex()
        elif text is not None:
            texts[name] = text.decode()
    absent = [name for name, text in expected.items() if text is None]
    told = {"absent": absent, "digests": digests, "texts": texts}
    return {name: value for name, value in told.items() if value}


def expected_by(told: Mapping[str, Any]) -> Expected:
    """Return the values that such parameters tell. Of a key that is told twice, the text counts, else the digest."""
    expected: dict[str, bytes | TextDigest | None] = dict.fromkeys(told.get("absent") or ())
    digests: Mapping[str, str] = told.get("digests") or {}
    texts: Mapping[str, str] = told.get("texts") or {}
    expected.update({name: TextDigest.fromhex(digits) for name, digits in digests.items()})
    expected.update({name: text.encode() for name, text in texts.items()})
    return expected
