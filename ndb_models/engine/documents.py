"""Looking into values by JSONPath (RFC 9535), and changing parts of them.

The functions `match` and `search` are left out: their patterns come from the client, and a regular expression can keep
a server busy for as long as its writer likes.
"""

# JSON that is being taken apart has no types yet.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from jsonpath import JSONPathEnvironment
from jsonpath.exceptions import JSONPathError

from ndb_models.wire.strict_json import MAX_NESTING

_ENVIRONMENT: Final = JSONPathEnvironment(strict=True)
# Else one value that is deeper than the library's own limit fails every search with `..`.
_ENVIRONMENT.max_recursion_depth = MAX_NESTING
for _function in ("match", "search"):
    del _ENVIRONMENT.function_extensions[_function]

_decode = msgspec.json.Decoder().decode
# Numbers that a change does not touch keep their digits.
_decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


# Each `..` visits all that lies below each place that the one before found: their number is the power of the work.
_MOST_DESCENTS: Final = 2
_DESCENTS: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(\.\.)""")


class PathError(ValueError):
    """The path is not a JSONPath of RFC 9535, or asks for more than a server can be asked for."""


Location = tuple[str | int, ...]


class Path:
    """A compiled JSONPath.

    Raises:
        PathError: `text` is not one, or has more than two `..`.
    """

    def __init__(self, text: str) -> None:
        if sum(1 for match in _DESCENTS.finditer(text) if match[1]) > _MOST_DESCENTS:
            raise PathError
        try:
            self._path = _ENVIRONMENT.compile(text)
        except (JSONPathError, RecursionError, ValueError, OverflowError) as exc:  # the last two for odd numbers
            raise PathError from exc

    def locate(self, value: bytes) -> list[tuple[str, Location]]:
        """Return where the path leads in a value: each place as a normalised path and as its steps."""
        document = _decode(value)
        if type(document) is str:
            # The library would take it for a JSON text, and look into that: it gets one, of this string.
            document = value.decode()
        try:
            matches = self._path.finditer(document)
            # The library's slices cut strings too; in RFC 9535 a string has no children.
            return [
                (match.path, match.parts)
                for match in matches
                if not (match.parent and isinstance(match.parent.obj, str))
            ]
        except (JSONPathError, RecursionError) as exc:
            raise PathError from exc


def replace_at(value: bytes, places: Sequence[Location], new: bytes) -> bytes:
    """Return the value with `new` in each of these places; the deepest come first, so that none is lost on the way."""
    document = _decode_exactly(value)
    replacement = msgspec.Raw(new)
    for place in sorted(places, key=len, reverse=True):
        if not place:
            return new
        *above, last = place
        parent: Any = document
        for step in above:
            parent = parent[step]
        parent[last] = replacement
    return _encode(document)


def append(value: bytes, name: str | None, items: Iterable[bytes]) -> bytes | None:
    """Return the array with the items at its end: the value itself, or its member `name`. None where it is no array."""
    document = _decode_exactly(value)
    array: Any = document
    if name is not None:
        array = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(array, list):
        return None
    array.extend(msgspec.Raw(item) for item in items)
    return _encode(document)
