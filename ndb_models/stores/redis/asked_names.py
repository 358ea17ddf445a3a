"""The names of the keys of a read, and the text of the object that it returns. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import compress
from typing import Final, NamedTuple

import msgspec

from ndb_models.errors import InvalidArgumentError
from ndb_models.json_text import NO_MEMBERS, ObjectText
from ndb_models.raising import raise_without_context

# The names of one read that are kept encoded for the next such read, and how many such reads are.
_FEW_NAMES: Final = 64
_READS_KEPT: Final = 256

_encode: Final = msgspec.json.Encoder().encode


class AskedNames(NamedTuple):
    """The names of a read. Each is there once.

    Attributes:
        names: the names.
        encoded: the same as servers take them.
        around: the text of an object of these names, with an empty item in the place of each value.
    """

    names: tuple[str, ...]
    encoded: tuple[bytes, ...]
    around: tuple[bytes, ...]

    def object_of(self, values: Sequence[bytes | None]) -> ObjectText:
        """Return the object of the values, one for each name. Keys with the value None are left out."""
        there = [value for value in values if value is not None]
        if len(there) < len(values):
            return asked_names(tuple(compress(self.names, [value is not None for value in values]))).object_of(there)
        parts = [*self.around]
        parts[1::2] = there
        return ObjectText(b"".join(parts), self.names)


def asked_names(names: tuple[str, ...]) -> AskedNames:
    """Return names as they are asked for. Raises as `utf8`."""
    return _kept(names) if len(names) <= _FEW_NAMES else _made(names)


def _made(names: tuple[str, ...]) -> AskedNames:
    different = tuple(dict.fromkeys(names))
    encoded = tuple(utf8(different))
    around: list[bytes] = []
    for name in different:
        around += (b"%b%b:" % (b"," if around else b"{", _encode(name)), b"")
    return AskedNames(different, encoded, (*around, b"}") if around else (NO_MEMBERS,))


# The sessions of a class are read by the same names again and again.
_kept: Final = lru_cache(_READS_KEPT)(_made)


def utf8(names: Iterable[str]) -> list[bytes]:
    """Return names as servers take them.

    Raises:
        InvalidArgumentError: one of them has no UTF-8.
    """
    try:
        return [name.encode() for name in names]
    except UnicodeEncodeError:  # not as the cause: it holds the text
        raise_without_context(no_utf8())


def no_utf8() -> InvalidArgumentError:
    """Return the error for a name that has no UTF-8."""
    return InvalidArgumentError("the name of a key holds half a surrogate pair, which UTF-8 has no bytes for")
