"""The values that keys must have for a change to be made, and how they are compared: by text, to the byte."""

from __future__ import annotations

import hashlib
import re
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


def are_as_expected(keys: Mapping[str, bytes], expected: Expected) -> bool:
    """Tell whether keys, given as bytes or views of them, have the expected values."""
    for name, value in expected.items():
        text = keys.get(name)
        if text is None or value is None:
            if text is not value:
                return False
        elif (TextDigest.of(text) if type(value) is TextDigest else bytes(text)) != value:
            return False
    return True


_is_hexadecimal: Final = re.compile(f"[0-9a-f]{{{TextDigest.HEX_DIGITS}}}").fullmatch


def is_digest(value: object) -> bool:
    """Tell whether a parsed JSON value is a digest, as hexadecimal digits."""
    return isinstance(value, str) and _is_hexadecimal(value) is not None


# Bytes. To send a text as it is takes less time than to make a digest of it, and to check that.
_LONG: Final = 64


def told_by(expected: Expected) -> dict[str, Any]:
    """Return the parameters of a request that tell these values. A long text becomes a digest."""
    texts: dict[str, str] = {}
    told: dict[str, Any] = {"texts": texts}
    for name, text in expected.items():
        if text is None:
            told.setdefault("absent", []).append(name)
        elif type(text) is TextDigest:
            told.setdefault("digests", {})[name] = text.hex()
        elif len(text) > _LONG:
            told.setdefault("digests", {})[name] = TextDigest.of(text).hex()
        else:
            texts[name] = text.decode()
    if not texts:
        del told["texts"]
    return told


def expected_by(told: Mapping[str, Any]) -> Expected:
    """Return the values that such parameters tell. Of a key that is told twice, the text counts, else the digest."""
    expected: dict[str, bytes | TextDigest | None] = dict.fromkeys(told.get("absent") or ())
    digests: Mapping[str, str] | None = told.get("digests")
    if digests:
        expected.update({name: TextDigest.fromhex(digits) for name, digits in digests.items()})
    texts: Mapping[str, str] | None = told.get("texts")
    if texts:
        expected.update({name: text.encode() for name, text in texts.items()})
    return expected
